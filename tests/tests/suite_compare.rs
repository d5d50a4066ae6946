//! `porthole compare` over whole programs, at both depths: nobody could tell the difference, and our entry in LD_PRELOAD
//! is named wherever it can be seen.

use porthole_tests::recall::{PROGRAMS, Program};
use porthole_tests::scratch::Scratch;
use porthole_tests::targets::{self, Flavour};
use porthole_tests::{binaries, print_skip};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::{Command, Stdio};

const DEPTHS: [&str; 2] = ["auto", "symbols"];

/// What people type, beside the programs that recall is measured on. The first word is the program.
const EVERYDAY: &[&str] = &[
    "env",
    "env -i sh -c env",
    "printenv",
    "ldd /bin/ls | sed 's/(0x.*//'",
    "ldconfig -p",
    "locale; locale -a",
    "getent passwd root; getent hosts localhost; getent ahosts localhost",
    "dpkg -l; dpkg -S /bin/ls; dpkg --verify coreutils",
    "apt-get --version; apt-cache policy bash; apt-get -s install bash",
    "nohup ls /usr",
    "setsid -w sh -c 'ls /usr'",
    "timeout 9 ls /usr; timeout 0.1 sleep 9; echo $?",
    "nice -n 5 ls /usr; taskset -c 0 ls /usr; prlimit --nofile=20 ls /usr",
    "stdbuf -oL ls /usr",
    "setpriv --reuid=65534 --clear-groups id",
    "chroot / ls /usr",
    "unshare -m ls /usr; unshare -Ur id; unshare -n ip -o link; unshare -fp --mount-proc sh -c 'echo $$; echo /proc/[0-9]*'",
    "nsenter -t $$ -m ls /usr",
    "su -c 'id; echo $0'; su nobody -s /bin/sh -c id",
    "sudo -n id; sudo -n env -i sh -c 'id; ls /usr'",
    "strace -f -e trace=execve -o /dev/null sh -c 'ls /usr | head -1'",
    "gdb --batch -ex 'set startup-with-shell off' -ex run --args /bin/echo hi 2>/dev/null | grep -c '^hi'",
    "valgrind -q ls /usr",
    "fakeroot sh -c 'id -u; touch a; chown nobody a; stat -c %U a'",
    "eatmydata ls /usr",
    "bwrap --ro-bind / / --dev /dev --proc /proc ls /usr",
    "tmux -S $PWD/s new-session -d 'ls /usr >l; mv l m'; until [ -e m ]; do sleep 0.01; done; cat m",
    "busybox sh -c 'ls /usr | head -2; id'",
    "rsync -a /etc/apt . && find apt | sort",
    "openssl dgst -sha256 /etc/passwd; openssl s_client -connect 127.0.0.1:9 2>&1 | tail -1 | cut -d: -f3-",
    "gpg --version",
    "cmake --version; ninja --version",
    "php -r 'echo shell_exec(\"ls /usr\"); print_r(scandir(\"/usr\")); passthru(\"id\");'",
    "ruby -e 'puts `ls /usr`; system(\"id\"); Process.wait fork{exit 3}; p $?.exitstatus; exec \"echo\", \"x\"'",
    "vim.tiny -es -u NONE -c 'r !ls /usr' -c %p -c qa!",
    "man -P cat ls",
    "pip --version; pip list",
    "npm --version",
    "perl -e 'print `id`; $p = fork; exec \"true\" unless $p; wait; opendir D, \"/usr\"; print readdir D; exec {\"sh\"} \"x\", \"-c\", \"echo $0\"'",
    "python3 -c 'import os, ssl, ctypes; print(sorted(os.listdir(\"/usr\")), ssl.OPENSSL_VERSION, os.popen(\"id\").read())'",
    "xargs -n1 ls -d </etc/shells",
    "find /etc -maxdepth 1 -newer /etc/passwd",
    "sort --parallel=2 -S 1M /etc/services",
    "bash -lc 'ulimit -a; trap; set -o; shopt'",
    "curl -sS file:///etc/hostname",
    "script -qc 'ls /usr' /dev/null",
    "flock lock ls /usr",
    "ps -o comm= -p $$",
    "xz --version; zstd --version; file /bin/ls",
];

/// Where there has to be a difference in the output: at which depths, of what, and why.
const DIFFERENT: &[(&[&str], &str, &str)] = &[
    (&["symbols"], "node -p 'Object.keys(process.env).length'", "our entry stays in the environment"),
    (&DEPTHS, "cat /proc/self/environ | tr '\\0' '\\n' | wc -l", "the kernel shows the environment that it was given"),
    (&DEPTHS, "grep -c libporthole /proc/self/maps || true", "the library is in the process"),
    (
        &DEPTHS,
        "grep -c \"$PORTHOLE_STATE_DIR/\" /proc/self/mounts || true",
        "the agent's directory is a mount of its own, as root",
    ),
];

/// Runs a script both ways, each time in the same directory, which is empty. The report, and the exit status.
fn compare(depth: &str, script: &str) -> (Option<i32>, Value) {
    let anew = "find . -mindepth 1 -delete; exec sh -c \"$1\"";
    compare_command(depth, &["sh", "-c", anew, "sh", script].map(str::to_owned), &[])
}

fn compare_command(depth: &str, command: &[String], environment: &[(&str, String)]) -> (Option<i32>, Value) {
    let scratch = Scratch::new();
    let out = Command::new("timeout")
        .arg("300")
        .arg(binaries::porthole())
        .args(["compare", "--format", "json", "--depth", depth, "--"])
        .args(command)
        .current_dir(scratch.dir("work"))
        .env("PORTHOLE_STATE_DIR", scratch.join("s"))
        .env("TMPDIR", scratch.dir("tmp"))
        .envs([("LC_ALL", "C.UTF-8"), ("HOME", "/root")])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        // cargo's, which would send the loader through its directories
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .output()
        .expect("timeout is there");
    let errors = || json!(String::from_utf8_lossy(&out.stderr));
    (out.status.code(), serde_json::from_slice(&out.stdout).unwrap_or_else(|_| errors()))
}

/// What is wrong with a report.
fn wrong((status, report): &(Option<i32>, Value)) -> Vec<String> {
    let mut wrong = vec![];
    let mut check = |right: bool, what: String| {
        if !right {
            wrong.push(what)
        }
    };
    check(*status == Some(0), format!("exit status {status:?}: {report:#}"));
    check(report["same"] == true, "not the same".into());
    // an unstable program could hide a difference: its script has to be made stable
    check(report["unstable"] == json!([]), format!("unstable: {}", report["unstable"]));
    check(report["state_compared"] == true, "its first process was not looked at".into());
    check(report["left_running"].is_null(), format!("left running: {}", report["left_running"]));
    check(report["records"].as_u64() > Some(0), "the agent was not there".into());
    check(report["lost"] == 0, format!("{} records lost", report["lost"]));
    let allowed = report["allowed"].as_str().unwrap_or_default();
    check(allowed.starts_with("LD_PRELOAD=/tmp/ph-"), format!("our entry is not named: {allowed:?}"));
    wrong
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null()).status();
    found.is_ok_and(|s| s.success())
}

/// Compares each (its name, what it lacks, and how it runs) at both depths, and panics with all that was wrong.
fn all<'a>(programs: impl Iterator<Item = (&'a str, Option<&'a str>, impl Fn(&str) -> (Option<i32>, Value))>) {
    let mut failures = String::new();
    for (name, missing, compare) in programs {
        if let Some(missing) = missing {
            print_skip(&format!("compare of {name}: no {missing} here"));
            continue;
        }
        for depth in DEPTHS {
            let wrong = wrong(&compare(depth));
            println!("{depth:8} {name}: {}", if wrong.is_empty() { "no difference" } else { "DIFFERENT" });
            for what in wrong {
                let _ = writeln!(failures, "{depth} {name}: {what}");
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn programs_of_the_recall_suite() {
    let environment = Program::environment();
    all(PROGRAMS.iter().map(|program| {
        let compare = |depth: &str| compare_command(depth, &program.command(), &environment);
        (program.name, program.missing(), compare)
    }));
}

#[test]
fn programs_of_every_day() {
    all(EVERYDAY.iter().map(|script| {
        let program = script.split([' ', ';']).next().unwrap_or(script);
        (*script, (!is_there(program)).then_some(program), |depth: &str| compare(depth, script))
    }));
}

#[test]
fn what_has_to_differ_is_found() {
    for (depths, script, why) in DIFFERENT {
        if !is_there(script.split(' ').next().unwrap_or(script)) {
            print_skip(&format!("compare of {script}: not here"));
            continue;
        }
        for depth in DEPTHS {
            let (status, report) = compare(depth, script);
            let found: Vec<&Value> =
                report["differences"].as_array().into_iter().flatten().map(|d| &d["what"]).collect();
            let expected: &[&str] = if depths.contains(&depth) { &["stdout"] } else { &[] };
            assert_eq!(found, expected, "{depth} {script} ({why}): {status:?} {report:#}");
        }
    }
}

#[test]
fn a_static_program_keeps_our_entry_and_it_is_named() {
    let program = targets::build("probe", Flavour::Static);
    for depth in DEPTHS {
        let wrong = wrong(&compare(depth, &format!("exec {} env", program.display())));
        assert!(wrong.is_empty(), "{depth}: {wrong:#?}");
    }
}
