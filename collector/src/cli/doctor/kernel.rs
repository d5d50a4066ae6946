//! What the kernel has, and what the machine allows.

use super::Finding;
use std::fs;

/// The oldest kernel that porthole is made for.
const OLDEST: (u32, u32) = (4, 18);

pub fn look() -> Vec<Finding> {
    let release = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let mut findings = vec![of_release(&release), rights(nix::unistd::geteuid().is_root())];
    findings.extend(watches(&read("/proc/sys/fs/inotify/max_user_instances")));
    findings.extend(modules(&read("/sys/kernel/security/lsm"), &read("/sys/fs/selinux/enforce")));
    findings
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// What a release lacks, newest first: since when it is there, what it is, what is done without it.
const FEATURES: [((u32, u32), &str); 4] = [
    ((6, 15), "exit status by pidfd; without it a process's own word is told"),
    ((6, 5), "SO_PEERPIDFD; without it a process is named by its pid, checked by its start time"),
    ((5, 14), "MADV_POPULATE_WRITE; without it rings take all their memory at once"),
    ((5, 3), "pidfd_open; without it the end of a process is seen later"),
];

fn of_release(release: &str) -> Finding {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        return Finding::note("kernel", format!("{release:?} is no release that is understood"), "");
    };
    let found = format!("Linux {release}");
    if (major, minor) < OLDEST {
        let (a, b) = OLDEST;
        return Finding::fail("kernel", found, format!("porthole needs Linux {a}.{b} or later"));
    }
    let lacks: Vec<&str> =
        FEATURES.iter().filter(|(since, _)| (major, minor) < *since).map(|(_, feature)| *feature).collect();
    if lacks.is_empty() { Finding::ok("kernel", found) } else { Finding::note("kernel", found, lacks.join(". ")) }
}

fn rights(root: bool) -> Finding {
    if root {
        return Finding::ok("rights", "root");
    }
    let advice = "fine for porthole run and for asking a collector; a collector of other users' containers needs root";
    Finding::note("rights", "not root", advice)
}

fn watches(instances: &str) -> Option<Finding> {
    let n: u64 = instances.parse().ok()?;
    (n < 16).then(|| {
        let advice = "raise fs.inotify.max_user_instances to 128: without one, new containers are found by looking";
        Finding::note("inotify", format!("{n} instances for each user"), advice)
    })
}

fn modules(list: &str, enforce: &str) -> Vec<Finding> {
    let mut findings = vec![];
    if list.split(',').any(|m| m == "selinux") && enforce == "1" {
        let advice = "containers may not be allowed to reach the agent's socket (records still arrive by the rings); \
                      see packaging/selinux/README.md for the policy module";
        findings.push(Finding::note("SELinux", "enforcing", advice));
    }
    if list.split(',').any(|m| m == "apparmor") {
        findings.push(Finding::ok("AppArmor", "on; docker's default profile lets the agent work"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn releases_are_judged_by_what_they_lack() {
        let verdict = |release: &str| of_release(release).verdict;
        assert_eq!([verdict("6.18.44-x"), verdict("6.15.0")], [Verdict::Ok, Verdict::Ok]);
        assert_eq!([verdict("6.1.0-13-amd64"), verdict("4.18.0")], [Verdict::Note, Verdict::Note]);
        assert_eq!([verdict("4.17.9"), verdict("3.10.0-1160.el7")], [Verdict::Fail, Verdict::Fail]);
        assert_eq!(verdict("what"), Verdict::Note);
        let advice = of_release("5.10.0").advice;
        assert!(advice.contains("SO_PEERPIDFD") && advice.contains("POPULATE") && !advice.contains("pidfd_open"));
    }

    #[test]
    fn security_modules_and_scarce_watches_are_noted() {
        assert_eq!(modules("lockdown,capability,selinux", "1").len(), 1);
        assert_eq!(modules("lockdown,capability,selinux", "0"), []);
        assert_eq!(modules("capability,apparmor", "")[0].verdict, Verdict::Ok);
        assert!(watches("128").is_none() && watches("").is_none() && watches("2").is_some());
    }
}
