//! Depth `sites` changes the C library's code in memory; no program may notice. Each case runs bare and hooked, both
//! say the same, and the events show that the code was really changed.

use porthole_tests::compare::{Case, Hooked};
use porthole_tests::scratch::{self, Scratch};
use porthole_tests::{binaries, print_skip, targets};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const NONE: [&str; 0] = [];

/// Whether an event came from a patched site.
fn from_sites(hooked: &Hooked) -> bool {
    !hooked.events.filter(|e| e.text("porthole.source") == "sites").is_empty()
}

/// Whether this machine's C library is patched; says why nothing is tested if it is not. Debian 12's must be.
fn here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    let here = *HERE.get_or_init(|| {
        let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        system.contains("VERSION_CODENAME=bookworm") || from_sites(&Case::new("/bin/cat", &["/etc/hostname"]).hooked())
    });
    if !here {
        print_skip("depth sites: no table for this machine's C library");
    }
    here
}

fn target(name: &str, flags: &[&str]) -> PathBuf {
    let cpp = name.ends_with(".cpp");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets").join(name);
    targets::compile(&source, &name.replace('.', "-"), if cpp { "g++" } else { "gcc" }, flags)
}

/// The same both ways, at depth `sites`, and the bare program does what it is meant to.
fn same_at_sites(case: &Case, expected: &str) {
    if !here() {
        return;
    }
    let bare = case.bare();
    assert!(bare.text().contains(expected), "bare, the target itself does not say {expected:?}: {bare:?}");
    let hooked = case.same();
    assert!(from_sites(&hooked), "{case:?}: no event of a patched site");
}

/// A target that is given a FIFO which nobody else opens.
fn with_fifo(target: PathBuf, args: &[&str], expected: &str) {
    let dir = Scratch::new();
    let fifo = dir.join("fifo");
    scratch::fifo(&fifo);
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).chain([fifo.display().to_string()]).collect();
    same_at_sites(&Case::new(target, &args), expected);
}

// -- threads that are cancelled ---------------------------------------------------------------------------------------

#[test]
fn cancelled_while_they_wait_in_open() {
    with_fifo(target("sitecancel.c", &[]), &["deferred"], "canceled 400, cleaned 400, returned 0");
}

#[test]
fn cancelled_asynchronously_while_they_wait_in_open() {
    with_fifo(target("sitecancel.c", &[]), &["async"], "canceled 400, cleaned 400, returned 0");
}

#[test]
fn cancelled_wherever_an_open_just_is() {
    with_fifo(target("sitecancel.c", &[]), &["race"], "canceled 200, cleaned 200");
}

#[test]
fn the_only_thread_cancels_itself_in_a_handler() {
    with_fifo(target("sitecancel.c", &[]), &["self"], "cleaned 1");
}

#[test]
fn destructors_run_when_a_thread_is_cancelled() {
    with_fifo(target("siteunwind.cpp", &[]), &[], "canceled 50, destroyed 100, caught 50");
}

#[test]
fn backtrace_of_a_handler_reaches_main() {
    with_fifo(target("sitetrace.c", &[]), &[], "opener seen, caller seen, further yes");
}

#[test]
fn backtrace_from_every_instruction_reaches_main() {
    // the program sets its own trap flag on the way, below its stack pointer
    let steps = target("sitestep.c", &["-fno-omit-frame-pointer"]);
    let expected = "execs(missing, none, none): -1, steps, lost 0";
    same_at_sites(&Case::new(&steps, &NONE), expected);
    let by_name = Case::new(&steps, &["by-name"]);
    same_at_sites(&by_name, expected);
    by_name.symbols().same();
}

// -- what a system call keeps -----------------------------------------------------------------------------------------

#[test]
fn registers_and_the_words_below_the_stack_pointer() {
    let registers = target("siteregs.c", &["-masm=intel"]);
    let sets = Case::new(&registers, &["sets"]).bare().text();
    for wider in ["avx", "avx512"] {
        if !sets.split(' ').any(|set| set == wider) {
            print_skip(&format!("registers that a system call keeps: this processor has no {wider}"));
        }
    }
    same_at_sites(&Case::new(registers, &NONE), "execve: -1, changed:,");
}

// -- where nothing can be patched -------------------------------------------------------------------------------------

#[test]
fn memory_that_is_never_writable_and_executable() {
    let case = Case::new(target("sitemdwe.c", &[]), &["/bin/cat", "/etc/hostname"]);
    if case.bare().status == 77 {
        print_skip("memory-deny-write-execute: this kernel does not have it");
        return;
    }
    let hooked = case.same();
    let opens = hooked.events.opens("/etc/hostname");
    let open = opens.only("open of cat");
    assert_ne!(open.text("porthole.source"), "sites", "patched although the kernel forbids it: {open:?}");
}

// -- memory -----------------------------------------------------------------------------------------------------------

/// KiB that a shell alone has written of its memory, rings aside: just started, and after 3,000 opens.
fn shell_memory(hooked: Option<&str>) -> [i64; 2] {
    const SUM: &str = "awk '/^[0-9a-f]+-/ { ring = $6 ~ /\\/rings\\// } /^Private_Dirty/ && !ring { kb += $2 }
        END { print kb }' /proc/$$/smaps";
    let script = format!("{SUM}; n=0; while [ $n -lt 3000 ]; do : >/dev/null; n=$((n + 1)); done; {SUM}");
    let scratch = Scratch::new();
    let mut command = Command::new(if hooked.is_some() { binaries::porthole() } else { "env".into() });
    if let Some(depth) = hooked {
        command.args(["run", "--depth", depth, "--events"]).arg(scratch.join("events")).arg("--");
        command.env("PORTHOLE_STATE_DIR", scratch.join("s"));
    }
    let out = command.args(["dash", "-c", &script]).output().expect("dash runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let kb: Vec<i64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    kb.try_into().unwrap_or_else(|_| panic!("two numbers: {out:?}"))
}

#[test]
fn a_process_has_little_memory_of_ours_beside_its_ring() {
    let bare = shell_memory(None);
    for depth in ["symbols", "auto"] {
        let hooked = shell_memory(Some(depth));
        let more = [hooked[0] - bare[0], hooked[1] - bare[1]];
        println!("depth {depth}: {} KiB more just started, {} KiB after 3,000 opens", more[0], more[1]);
        assert!(more.iter().all(|kb| *kb <= 64), "{depth}: {hooked:?} KiB, bare {bare:?}");
    }
}
