//! A program must never die or change because of us: each case runs bare and under `porthole run`, and stdout, stderr
//! and exit status must be the same to the byte. Each also leaves events, or the agent was not there at all.

use porthole_tests::compare::Case;
use porthole_tests::scratch::{self, Scratch};
use porthole_tests::targets::{self, Flavour};

const NONE: [&str; 0] = [];

fn case(target: &str, args: &[&str]) -> Case {
    Case::new(targets::glibc(target), args)
}

/// The case is only worth something if the bare program does what it is meant to.
fn same_saying(case: &Case, expected: &str) {
    let bare = case.bare();
    let text = String::from_utf8_lossy(&bare.stdout).into_owned();
    assert!(text.contains(expected), "bare, the target itself does not say {expected:?}: {bare:?}");
    case.same();
}

// -- resource limits --------------------------------------------------------------------------------------------------

#[test]
fn file_size_limit_below_the_ring() {
    // a file larger than the limit is answered with SIGXFSZ, which kills
    for size in ["0", "100", "65536"] {
        same_saying(
            &case("limits", &["fsize", size, "--", "/bin/sh", "-c", "cat /etc/hostname >/dev/null; echo ok"]),
            "ok",
        );
    }
}

#[test]
fn file_size_limit_set_by_the_program_itself() {
    same_saying(&case("limits", &["here", "fsize", "100"]), "child's status 500");
}

#[test]
fn no_descriptor_left() {
    same_saying(&case("limits", &["here", "nofile", "3"]), "parent: open Too many open files");
}

#[test]
fn one_descriptor_left_at_exec() {
    same_saying(&case("limits", &["nofile", "3", "close0", "--", "/bin/echo", "hello"]), "hello");
}

#[test]
fn address_space_limit_set_by_the_program_itself() {
    same_saying(&case("limits", &["here", "as", "8000000"]), "child's status 500");
}

#[test]
fn address_space_limit_at_exec() {
    // wherever the bare program has 256 KiB to spare, the hooked one must do the same; below that the loader itself
    // may find no room for the library, and says so
    let works = |bytes: u64| {
        let out = case("limits", &["as", &bytes.to_string(), "--", "/bin/cat", "/etc/hostname"]).bare();
        out.status == 0
    };
    let (mut bad, mut good) = (100_000_u64, 64_000_000_u64);
    assert!(works(good) && !works(bad));
    while good - bad > 4096 {
        let middle = (good + bad) / 2;
        if works(middle) { good = middle } else { bad = middle }
    }
    for more in [256 * 1024, 512 * 1024, 4 << 20] {
        case("limits", &["as", &(good + more).to_string(), "--", "/bin/cat", "/etc/hostname"]).same();
    }
}

// -- sandboxes --------------------------------------------------------------------------------------------------------

#[test]
fn filter_by_prctl_then_fork_and_open() {
    same_saying(&case("sandbox", &["prctl"]), "child's status 900");
}

#[test]
fn filter_by_syscall_then_fork_and_open() {
    same_saying(&case("sandbox", &["syscall"]), "child's status 900");
}

#[test]
fn program_executed_below_a_filter() {
    for way in ["prctl", "syscall"] {
        same_saying(&case("sandbox", &[way, "exec"]), "child's status 400");
    }
}

// -- memory -----------------------------------------------------------------------------------------------------------

#[test]
fn exec_of_3000_variables_on_a_16_kib_stack() {
    same_saying(&case("smallstack", &NONE), "3000 entries");
}

#[test]
fn largest_environment_is_the_same_to_the_byte() {
    same_saying(&case("bigenv", &NONE), "bytes");
}

#[test]
fn environment_area_overwritten() {
    same_saying(&case("setproctitle", &NONE), "child: yes");
}

#[test]
fn pointers_to_nowhere_give_efault() {
    same_saying(&case("efault", &NONE), "execve(\"/bin/true\", argv, bad): -1, errno 14");
}

#[test]
fn errors_that_come_before_a_pointer_is_read() {
    same_saying(&case("edges", &["early-errors"]), "fexecve(fd, argv, 0): -1, errno 22");
}

#[test]
fn counter_forbidden_through_syscall() {
    same_saying(&case("edges", &["no-counter"]), "open(\"/no/such/file\", O_RDONLY): -1, errno 2");
}

#[test]
fn many_programs_executed_by_vfork_below_a_filter() {
    same_saying(&case("edges", &["filtered"]), "filter 0\nstatus 0\nstatus 0");
    same_saying(&case("edges", &["filtered", "by-syscall"]), "filter 0\nstatus 0\nstatus 0");
}

// -- descriptors ------------------------------------------------------------------------------------------------------

#[test]
fn every_descriptor_closed_one_by_one() {
    same_saying(&case("closeall", &NONE), "0 -1 1, child 102, then 2");
}

#[test]
fn every_descriptor_closed_at_once() {
    same_saying(&case("closeall", &["range"]), "0 -1 1, child 102, then 2");
}

#[test]
fn no_descriptor_more_in_the_program() {
    same_saying(&Case::shell("ls -l /proc/self/fd | wc -l; ls /proc/$$/fd"), "0");
}

// -- initialisation ---------------------------------------------------------------------------------------------------

#[test]
fn library_constructor_that_opens_before_ours() {
    let library = targets::library("ctorlib");
    same_saying(&Case::new(targets::linked_with("useslib", &library), &NONE), "answer 42");
}

#[test]
fn another_preloaded_library_keeps_its_turn() {
    let library = targets::library("ctorlib");
    let with = case("useslib", &NONE).env("LD_PRELOAD", library.to_string_lossy());
    same_saying(&with, "answer 42");
}

#[test]
fn ls_with_libselinux() {
    same_saying(&Case::new("/bin/ls", &["-la", "/etc"]), "passwd");
}

#[test]
fn time_stamp_counter_forbidden() {
    same_saying(&case("notsc", &NONE), "status 400");
}

// -- signals, threads, forks ------------------------------------------------------------------------------------------

#[test]
fn signal_handler_that_opens_inside_a_hook() {
    same_saying(&case("signals", &["open"]), "done, 0 wrong");
}

#[test]
fn signal_handler_that_leaves_by_siglongjmp() {
    same_saying(&case("signals", &["jump"]), "done, 0 wrong");
}

#[test]
fn vfork_children_change_directory_and_execute() {
    same_saying(&case("vforks", &NONE), "missing: 200 in /usr");
}

#[test]
fn fork_of_a_program_with_threads() {
    same_saying(&case("mtfork", &NONE), "0 wrong");
}

#[test]
fn user_namespace_needs_a_single_thread() {
    same_saying(&case("newuser", &NONE), "unshare: ok");
}

#[test]
fn thread_cancelled_in_open() {
    let dir = Scratch::new();
    let fifo = dir.join("fifo");
    scratch::fifo(&fifo);
    same_saying(&case("cancel", &[&fifo.to_string_lossy()]), "cleaned up\ncancel: 0\ncanceled");
}

// -- results ----------------------------------------------------------------------------------------------------------

#[test]
fn exit_status_and_signals_pass() {
    for (script, status) in
        [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)]
    {
        let case = Case::shell(script);
        assert_eq!(case.bare().status, status, "{script}, bare");
        // killed before its first record: whether there are events is not the question here
        assert_eq!(case.hooked().outcome.status, status, "{script}, hooked");
    }
}

#[test]
fn every_call_says_the_same() {
    let dir = Scratch::new();
    dir.file("f", "x");
    let (file, path) = (dir.join("f").display().to_string(), dir.path().display().to_string());
    let calls = targets::glibc("calls").display().to_string();
    for call in ["open", "open64", "openat", "openat64", "__open_2", "fopen", "fopen64", "freopen", "freopen64", "fork"]
    {
        case("calls", &[call, &file]).same();
        case("calls", &[call, "/no/such/file"]).same();
    }
    for call in ["creat", "creat64", "open-create", "fopen-w"] {
        case("calls", &[call, &file]).same();
    }
    for call in [
        "execve",
        "execv",
        "execvp",
        "execvpe",
        "execl",
        "execlp",
        "execle",
        "fexecve",
        "execveat",
        "posix_spawn",
        "posix_spawnp",
    ] {
        case("calls", &[call, "/bin/echo"]).same();
        case("calls", &[call, "/no/such/program"]).same();
    }
    for call in ["system", "popen"] {
        case("calls", &[call, &format!("{calls} print a b; exit 3")]).same();
    }
    for call in ["opendir", "chdir", "fchdir"] {
        case("calls", &[call, &path]).same();
    }
}

// -- children the loader treats differently ---------------------------------------------------------------------------

#[test]
fn child_with_an_empty_environment() {
    let calls = targets::glibc("calls").display().to_string();
    let child = Case::new("/usr/bin/env", &["-i", calls.as_str(), "print", "x"]);
    let hooked = child.same();
    let execs = hooked.events.execs("calls-glibc");
    assert!(!execs.is_empty(), "env -i loses nothing:\n{}", hooked.events);
}

#[test]
fn static_child() {
    let child = targets::build("calls", Flavour::Static).display().to_string();
    same_saying(&Case::shell(&format!("{child} print from static; {child} system 'cat /etc/hostname'")), "arg static");
}

#[test]
fn musl_program() {
    same_saying(&Case::new(targets::musl("calls"), &["print", "x"]), "arg x");
    same_saying(&Case::new(targets::musl("calls"), &["system", "echo below musl"]), "below musl");
}

#[test]
fn python_with_close_fds() {
    let script = "import subprocess,os\n\
                  subprocess.run(['/bin/echo','one'],close_fds=True)\n\
                  subprocess.run(['/bin/echo','two'],env={},close_fds=True)\n\
                  print(sorted(os.listdir('/proc/self/fd'))==['0','1','2','3'])\n";
    let hooked = Case::new("/usr/bin/python3", &["-c", script]).same();
    assert_eq!(hooked.events.execs("/echo").len(), 2, "both children are seen:\n{}", hooked.events);
}

#[test]
fn pipelines_and_job_control_of_bash() {
    let script = "set -m; seq 1 1000 | sort -rn | head -3; (exit 7); echo $?; sleep 0.1 & wait $!; echo $?; \
                  trap 'echo trapped' USR1; kill -USR1 $$; cat <(echo substituted); ulimit -n";
    same_saying(&Case::new("/bin/bash", &["-c", script]), "trapped");
}
