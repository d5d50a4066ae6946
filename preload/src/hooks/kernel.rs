//! Signals, other processes' memory, memory files, kernel modules; libraries loaded later.

use super::calls;

calls! { after
    kill => Kill, Int;
    tgkill => Tgkill, Int;
    pidfd_send_signal => PidfdSendSignal, Int;
    pidfd_open => PidfdOpen, Int;
    ptrace => Ptrace, Long;
    process_vm_readv => ProcessVmReadv, Long;
    process_vm_writev => ProcessVmWritev, Long;
    memfd_create => MemfdCreate, Int;
    init_module => InitModule, Int;
    finit_module => FinitModule, Int;
    delete_module => DeleteModule, Int;
}

// Their next definition must see its real caller: whose RUNPATH is searched depends on it.
calls! { before
    dlopen => Dlopen, Call;
    dlmopen => Dlmopen, Call;
}
