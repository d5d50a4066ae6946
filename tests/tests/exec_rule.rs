//! What is executed where the agent cannot follow: it runs as without us, not a word on stderr more, and one event says
//! why nothing of it will be seen.

use porthole_tests::compare::{Case, Hooked};
use porthole_tests::scratch::Scratch;
use porthole_tests::targets::{self, Flavour};
use porthole_tests::{print_skip, rootfs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const NOBODY: [&str; 7] = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "-all"];

fn rule(args: &[&str]) -> Case {
    Case::new(targets::glibc("rule"), args)
}

/// Reasons and paths of all blind spots.
fn blind(hooked: &Hooked) -> Vec<(String, String)> {
    let spots = hooked.events.filter(|e| e.kind() == "porthole.blindspot");
    for spot in &spots.0 {
        assert!(!spot.text("container.id").is_empty() && !spot.text("proc.name").is_empty(), "{spot:?}");
    }
    spots.0.iter().map(|e| (e.text("porthole.reason").to_owned(), e.text("porthole.path").to_owned())).collect()
}

/// Runs both ways, and there is exactly one blind spot, about `path`.
fn one(case: &Case, says: &str, reason: &str, path: &Path) -> Hooked {
    let hooked = says_the_same(case, says);
    assert_eq!(blind(&hooked), [(reason.to_owned(), path.display().to_string())], "{case:?}\n{}", hooked.events);
    hooked
}

fn says_the_same(case: &Case, says: &str) -> Hooked {
    let bare = case.bare();
    assert!(bare.text().contains(says), "bare, the program does not say {says:?}: {bare:?}");
    case.same()
}

/// A copy of /bin/cat of this mode.
fn cat(scratch: &Scratch, name: &str, mode: u32) -> PathBuf {
    open_to_all(scratch);
    let path = scratch.join(name);
    std::fs::copy("/bin/cat", &path).expect("cat is copied");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its mode is set");
    path
}

fn open_to_all(scratch: &Scratch) {
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).expect("the directory's mode is set");
}

/// As nobody: the program by an absolute path, and /etc/hostname.
fn as_nobody(before: &[&str], program: &Path) -> Case {
    let program = program.display().to_string();
    let args: Vec<&str> = NOBODY.iter().chain(before).copied().chain([&*program, "/etc/hostname"]).collect();
    Case::new("/usr/bin/setpriv", &args)
}

fn hostname() -> String {
    std::fs::read_to_string("/etc/hostname").expect("a host has a name").trim().to_owned()
}

// -- the target -------------------------------------------------------------------------------------------------------

#[test]
fn static_programs() {
    let program = targets::build("calls", Flavour::Static);
    let script = format!("{} print x; {} system 'cat /etc/hostname'; :", program.display(), program.display());
    let hooked = says_the_same(&Case::shell(&script), "arg x");
    let path = program.display().to_string();
    assert_eq!(blind(&hooked), vec![("static".to_owned(), path); 2], "one for each exec\n{}", hooked.events);
    assert!(!hooked.events.opens("/etc/hostname").is_empty(), "a dynamic child of it is seen\n{}", hooked.events);
}

#[test]
fn programs_of_go() {
    let program = targets::glibc("gonote");
    let script = format!("{}; :", program.display());
    one(&Case::shell(&script), "go: yes", "go", &program);
    one(&Case::new(&program, &[""; 0]), "go: yes", "go", &program);
}

/// `exit(7)` for i386, or what is given as class and machine.
fn small_program(path: &Path, class: u8, machine: u8) {
    let mut bytes = vec![0u8; 84];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    (bytes[16], bytes[18], bytes[20]) = (2, machine, 1);
    let word = |bytes: &mut [u8], at: usize, n: u32| bytes[at..at + 4].copy_from_slice(&n.to_le_bytes());
    for (at, n) in [(24, 0x0804_8054), (28, 52), (40, 52 | 32 << 16), (44, 1)] {
        word(&mut bytes, at, n);
    }
    for (n, value) in [1, 0, 0x0804_8000, 0x0804_8000, 96, 96, 5, 0x1000].into_iter().enumerate() {
        word(&mut bytes, 52 + 4 * n, value);
    }
    bytes.extend([0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80]);
    std::fs::write(path, bytes).expect("a program is written");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("and made one");
}

#[test]
fn programs_of_another_word_size() {
    let scratch = Scratch::new();
    let program = scratch.join("i386");
    small_program(&program, 1, 3);
    let case = Case::shell(&format!("{}; echo status $?", program.display()));
    if !case.bare().text().contains("status 7") {
        return print_skip("programs of another word size: this kernel runs no i386 programs");
    }
    one(&case, "status 7", "word_size", &program);
}

#[test]
fn programs_for_another_machine_fail_as_they_do() {
    let scratch = Scratch::new();
    let program = scratch.join("aarch64");
    small_program(&program, 2, 183);
    // the kernel refuses; the shell takes it for a script
    let hooked = says_the_same(&Case::shell(&format!("{}; echo status $?", program.display())), "status ");
    assert_eq!(blind(&hooked), [], "what has not started is no blind spot\n{}", hooked.events);
}

#[test]
fn set_user_id_programs() {
    let scratch = Scratch::new();
    let program = cat(&scratch, "setuid", 0o4755);
    if Command::new("findmnt")
        .args(["-no", "OPTIONS", "-T"])
        .arg(&program)
        .output()
        .is_ok_and(|o| String::from_utf8_lossy(&o.stdout).split(',').any(|o| o.trim() == "nosuid"))
    {
        return print_skip("set_user_id_programs: the scratch directory is mounted nosuid");
    }
    one(&as_nobody(&[], &program), &hostname(), "setuid", &program);
    // the kernel gives nothing then, and the loader has no reason to distrust us
    let rule = targets::glibc("rule").display().to_string();
    let hooked = says_the_same(&as_nobody(&[&rule, "no-new-privs"], &program), &hostname());
    assert_eq!(blind(&hooked), [], "{}", hooked.events);
    assert_eq!(hooked.events.opens("/etc/hostname").len(), 1, "{}", hooked.events);
    // for its owner it is a program like any other
    let hooked = says_the_same(&Case::shell(&format!("{} /etc/hostname; :", program.display())), &hostname());
    assert_eq!(blind(&hooked), [], "{}", hooked.events);
}

#[test]
fn set_group_id_programs() {
    let scratch = Scratch::new();
    let program = cat(&scratch, "setgid", 0o2755);
    one(&as_nobody(&[], &program), &hostname(), "setuid", &program);
}

#[test]
fn programs_with_capabilities_at_the_file() {
    let scratch = Scratch::new();
    let program = cat(&scratch, "capable", 0o755);
    // CAP_DAC_READ_SEARCH, permitted and effective
    let set = "import os,struct,sys; \
               os.setxattr(sys.argv[1], 'security.capability', struct.pack('<5I', 0x02000001, 4, 0, 0, 0))";
    let out = Command::new("/usr/bin/python3").args(["-c", set]).arg(&program).output().expect("python runs");
    if !out.status.success() {
        return print_skip("programs_with_capabilities_at_the_file: the file system keeps none");
    }
    let rule = targets::glibc("rule").display().to_string();
    // started as nobody, the process that executes asks for them
    one(&as_nobody(&[&rule, "exec"], &program), &hostname(), "file_capabilities", &program);
    let hooked = says_the_same(&Case::shell(&format!("{} /etc/hostname; :", program.display())), &hostname());
    assert_eq!(blind(&hooked), [], "root is trusted\n{}", hooked.events);
}

#[test]
fn programs_that_may_be_executed_but_not_read() {
    let scratch = Scratch::new();
    let program = cat(&scratch, "unreadable", 0o711);
    let rule = targets::glibc("rule").display().to_string();
    let hooked = says_the_same(&as_nobody(&[&rule, "exec"], &program), &hostname());
    assert_eq!(blind(&hooked), [], "the loader needs no right to read\n{}", hooked.events);
    assert_eq!(hooked.events.opens("/etc/hostname").len(), 1, "{}", hooked.events);
}

#[test]
fn programs_with_the_address_sanitizer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/opens.c");
    let build = |name: &str, flags: &[&str]| targets::compile(&source, name, "gcc", flags);
    let shared = build("opens-asan", &["-fsanitize=address"]);
    let path = shared.display();
    one(&Case::shell(&format!("{path} 3; echo status $?")), "status 0", "asan", &shared);
    one(&Case::shell(&format!("env -i {path} 3; echo status $?")), "status 0", "asan", &shared);
    let own = build("opens-asan-static", &["-fsanitize=address", "-static-libasan"]);
    let hooked = says_the_same(&Case::shell(&format!("{} 3; echo status $?", own.display())), "status 0");
    assert_eq!((blind(&hooked), hooked.events.execs("opens-asan-static").len()), (vec![], 1), "{}", hooked.events);
}

#[test]
fn a_first_program_with_the_address_sanitizer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/opens.c");
    let shared = targets::compile(&source, "opens-asan", "gcc", &["-fsanitize=address"]);
    let case = Case::new(&shared, &["3"]);
    let (bare, hooked) = (case.bare(), case.hooked());
    assert_eq!(bare, hooked.outcome);
    let spots = hooked.events.filter(|e| e.kind() == "porthole.blindspot");
    assert_eq!(spots.only("blind spot").text("porthole.reason"), "asan");
}

// -- where the caller is ----------------------------------------------------------------------------------------------

#[test]
fn below_a_root_without_the_agent() {
    let scratch = Scratch::new();
    rootfs::make(scratch.path());
    let root = scratch.path().display().to_string();
    let program = Path::new("/bin/cat");
    for symbols in [false, true] {
        let depth = |case: Case| if symbols { case.symbols() } else { case };
        let chroot = depth(Case::new("/usr/sbin/chroot", &[&root, "/bin/cat", "/etc/hostname"]));
        one(&chroot, "container", "library_unreachable", program);
        let pivot = depth(rule(&["pivot", &root, "/bin/cat", "/etc/hostname"]));
        one(&pivot, "container", "library_unreachable", program);
        // the shell is libc's child: what it inherits is `environ`
        let shell = depth(rule(&["chroot", &root, "cat /etc/hostname"]));
        one(&shell, "container\nstatus 0", "library_unreachable", Path::new("/bin/sh"));
    }
}

#[test]
fn below_a_filter_of_its_own() {
    let target = targets::glibc("sandbox");
    for symbols in [false, true] {
        let case = Case::new(&target, &["prctl", "exec"]);
        let case = if symbols { case.symbols() } else { case };
        one(&case, "child's status 400", "sandboxed", &target);
    }
}

#[test]
fn without_a_free_descriptor() {
    let program = targets::build("calls", Flavour::Static);
    let path = program.display().to_string();
    let case = Case::new(targets::glibc("limits"), &["nofile", "3", "--", &path, "print", "x"]);
    one(&case, "arg x", "no_descriptor", &program);
}

#[test]
fn a_shell_without_the_environment() {
    // at depth `sites` the exec of the shell passes through us
    let hooked = says_the_same(&rule(&["lost", "cat /etc/hostname"]), "status 0");
    assert_eq!((blind(&hooked), hooked.events.opens("/etc/hostname").len()), (vec![], 1), "{}", hooked.events);
    one(&rule(&["lost", "cat /etc/hostname"]).symbols(), "status 0", "environment_lost", Path::new("/bin/sh"));
}

#[test]
fn rings_of_io_uring_are_told_once() {
    let case = rule(&["io_uring"]);
    if case.bare().status == 77 {
        return print_skip(&format!("rings_of_io_uring_are_told_once: {}", case.bare().text()));
    }
    let hooked = says_the_same(&case, "two rings");
    assert_eq!(blind(&hooked), [("io_uring".to_owned(), String::new())], "{}", hooked.events);
    assert_eq!(hooked.events.filter(|e| e.kind() == "io_uring_setup").len(), 2);
}
