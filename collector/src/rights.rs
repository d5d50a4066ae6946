//! What a collector may do once it runs: less than the root that started it.
//!
//! Kept are the capabilities that reading other users' rings, naming processes and taking down what a container left need;
//! a bug in a decoder then cannot load a module, open a raw socket or become another user. System calls that the
//! collector never makes are answered with EPERM, executing programs among them. Landlock is not used: it would forbid
//! the unmounting of a deleted container's tmpfs.

use crate::error::Error;
use caps::{CapSet, Capability, CapsHashSet};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads};
use std::collections::BTreeMap;

/// Capability, and what for.
const KEPT: [(Capability, &str); 8] = [
    (Capability::CAP_SYS_PTRACE, "/proc of other users' processes: program, directory, namespaces, descriptors"),
    (Capability::CAP_DAC_READ_SEARCH, "directories and files of other users: rings, a container's passwd"),
    (Capability::CAP_DAC_OVERRIDE, "telling a ring's writers, whose file it is, what has been read"),
    (Capability::CAP_FOWNER, "removing rings from a sticky directory"),
    (Capability::CAP_LEASE, "asking whether anybody still has a ring open"),
    (Capability::CAP_CHOWN, "giving the API socket to its group"),
    (Capability::CAP_NET_BIND_SERVICE, "a port of the configuration below 1024"),
    (Capability::CAP_SYS_ADMIN, "unmounting the tmpfs of a deleted container"),
];

/// System calls that a collector never makes.
#[cfg(target_arch = "x86_64")]
const OLD: [libc::c_long; 2] = [libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const OLD: [libc::c_long; 0] = [];
const REFUSED: [libc::c_long; 41] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at,
    libc::SYS_personality,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_quotactl,
    libc::SYS_io_uring_setup,
    libc::SYS_setuid,
    libc::SYS_setresuid,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Gives up what is not needed. Called while this process has one thread, before any byte of a container is read.
///
/// # Errors
/// When the kernel refuses; nothing is half done that would let the process do more than before.
pub fn reduce() -> Result<(), Error> {
    capabilities().map_err(|e| Error::new(format!("cannot give up capabilities: {e}")))?;
    system_calls().map_err(|e| Error::new(format!("cannot give up system calls: {e}")))
}

/// Gives up every capability, in what this process executes too. For a program that shall have no rights but its user's.
///
/// # Errors
/// When the kernel refuses.
pub fn none() -> Result<(), Error> {
    let drop_all = || {
        caps::clear(None, CapSet::Ambient)?;
        caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
        if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
            caps::clear(None, CapSet::Bounding)?;
        }
        caps::clear(None, CapSet::Effective)?;
        caps::clear(None, CapSet::Permitted)
    };
    drop_all().map_err(|e: caps::errors::CapsError| Error::new(format!("cannot give up capabilities: {e}")))
}

fn capabilities() -> Result<(), caps::errors::CapsError> {
    let kept: CapsHashSet = KEPT.iter().map(|(cap, _)| *cap).collect();
    let permitted: CapsHashSet = caps::read(None, CapSet::Permitted)?.intersection(&kept).copied().collect();
    caps::clear(None, CapSet::Ambient)?;
    // only who has CAP_SETPCAP can drop from the bounding set; without executing anything it matters little
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for cap in caps::all() {
            if !kept.contains(&cap) && caps::has_cap(None, CapSet::Bounding, cap)? {
                caps::drop(None, CapSet::Bounding, cap)?;
            }
        }
    }
    caps::set(None, CapSet::Effective, &permitted)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Permitted, &permitted)
}

fn system_calls() -> Result<(), String> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(()) };
    let rules: BTreeMap<i64, _> = REFUSED.iter().chain(&OLD).map(|n| (*n, vec![])).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(|e| e.to_string())?;
    let program: seccompiler::BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
    apply_filter_all_threads(&program).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kept_capability_has_its_reason_and_none_is_named_twice() {
        let distinct: CapsHashSet = KEPT.iter().map(|(cap, _)| *cap).collect();
        assert_eq!(distinct.len(), KEPT.len());
        assert!(KEPT.iter().all(|(_, why)| !why.is_empty()));
    }
}
