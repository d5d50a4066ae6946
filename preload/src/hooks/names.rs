//! Names of files: made, removed, changed.

use super::calls;

calls! { after
    rename => Rename, Int;
    renameat => Renameat, Int;
    renameat2 => Renameat2, Int;
    unlink => Unlink, Int;
    unlinkat => Unlinkat, Int;
    remove => Remove, Int;
    rmdir => Rmdir, Int;
    mkdir => Mkdir, Int;
    mkdirat => Mkdirat, Int;
    link => Link, Int;
    linkat => Linkat, Int;
    symlink => Symlink, Int;
    symlinkat => Symlinkat, Int;
    mknod => Mknod, Int;
    mknodat => Mknodat, Int;
}
