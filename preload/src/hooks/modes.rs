//! Modes, owners and lengths of files.

use super::calls;

calls! { after
    chmod => Chmod, Int;
    fchmod => Fchmod, Int;
    fchmodat => Fchmodat, Int;
    lchmod => Lchmod, Int;
    chown => Chown, Int;
    fchown => Fchown, Int;
    lchown => Lchown, Int;
    fchownat => Fchownat, Int;
    truncate => Truncate, Int;
    truncate64 => Truncate, Int;
    ftruncate => Ftruncate, Int;
    ftruncate64 => Ftruncate, Int;
}
