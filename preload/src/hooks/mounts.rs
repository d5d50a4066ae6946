//! Mounts, roots and namespaces.

use super::calls;

calls! { after
    mount => Mount, Int;
    umount => Umount, Int;
    umount2 => Umount2, Int;
    pivot_root => PivotRoot, Int;
    chroot => Chroot, Int;
    setns => Setns, Int;
    unshare => Unshare, Int;
}
