//! Tools that look into a program find it as it is without us: a debugger, a memory checker, a tracer.

use porthole_tests::compare::{Case, Hooked};
use porthole_tests::program::Outcome;
use porthole_tests::scratch::Scratch;
use porthole_tests::targets;
use std::path::{Path, PathBuf};

fn program() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/tools.c");
    targets::compile(&source, "tools", "gcc", &["-g", "-O0"])
}

/// Bare, hooked at depth `auto`, and at depth `symbols`.
fn each_way(case: &Case) -> (Outcome, [Hooked; 2]) {
    let hooked = [case.hooked(), case.clone().symbols().hooked()];
    for run in &hooked {
        let own = run.events.filter(|e| e.text("proc.name") == "tools" && e.kind() == "openat");
        assert!(!own.is_empty(), "the agent was not in the program: {run:?}");
    }
    (case.bare(), hooked)
}

/// Numbers that are another each time: addresses, processes.
fn without_numbers(line: &str) -> String {
    let word = |word: &str| match word.strip_prefix("argv=").unwrap_or(word).starts_with("0x") {
        true => "0x".to_owned(),
        false => word.to_owned(),
    };
    let words: Vec<String> = line.split(' ').filter(|w| !w.is_empty()).map(word).collect();
    words.join(" ")
}

/// What the debugger shows. Ours are only frames without a name between the function that opens and its system call,
/// and the place where that is.
fn shown(outcome: &Outcome) -> Vec<String> {
    let text = outcome.text();
    let lines = text.lines().filter(|line| {
        let frame = line.starts_with('#');
        let place = line.contains("syscall openat)") || line.contains("sysdeps") && !frame;
        let ours = frame && line.contains(" in ?? () from ") && line.contains("libporthole.so");
        // said at any time before or after what the child prints
        !(place || ours || line.starts_with("[Detaching "))
    });
    // frames are counted with ours
    let frame = |line: &str| match line.strip_prefix('#') {
        Some(rest) => format!("# {}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => line.split("process ").next().unwrap_or(line).to_owned(),
    };
    lines.map(|line| without_numbers(&frame(line))).collect()
}

#[test]
fn debugger() {
    let commands = "set debuginfod enabled off\nset pagination off\nbreak opened\nrun\nbt\nnext\nfinish\ndelete\n\
                    catch syscall openat\ncontinue\nbt\ndelete\ncontinue\n";
    let scratch = Scratch::new();
    let script = scratch.file("commands", commands).display().to_string();
    let program = program().display().to_string();
    let case = Case::new("/usr/bin/gdb", &["-q", "-nx", "-batch", "-x", &script, "--args", &program, "/bin/echo"]);
    let (bare, hooked) = each_way(&case);
    let expected = shown(&bare);
    let frames = |lines: &[String]| lines.iter().filter(|line| line.starts_with('#')).count();
    let ended = bare.text().contains("exited with code 07");
    // opened, outer, main; and the same below the library's function
    assert!(frames(&expected) == 7 && ended, "bare, the debugger shows something else: {expected:#?}\n{bare:?}");
    for run in hooked {
        assert_eq!(expected, shown(&run.outcome), "{:?}", run.outcome);
        assert_eq!(bare.status, run.outcome.status);
    }
}

#[test]
fn memory_checker() {
    let program = program().display().to_string();
    let options = ["-q", "--leak-check=full", "--show-leak-kinds=all", "--track-fds=yes", "--error-exitcode=9"];
    let case = Case::new("/usr/bin/valgrind", &[&options[..], &[&program, "/bin/echo"]].concat());
    let (bare, hooked) = each_way(&case);
    assert_eq!(bare.status, 7, "bare, it has errors: {bare:?}");
    // what it says of errors and open descriptors, without our frames in their backtraces
    let told = |outcome: &Outcome| {
        let text = outcome.errors();
        let lines = text.lines().filter(|line| !line.contains("libporthole.so"));
        let said = lines.map(|line| line.trim_start_matches(|c: char| "= ".contains(c) || c.is_ascii_digit()));
        let frames = said.map(|line| line.strip_prefix("at ").or(line.strip_prefix("by ")).unwrap_or(line));
        frames.map(without_numbers).collect::<Vec<_>>()
    };
    for run in hooked {
        assert_eq!((bare.status, bare.text()), (run.outcome.status, run.outcome.text()), "{:?}", run.outcome);
        assert_eq!(told(&bare), told(&run.outcome));
    }
}

/// The calls between the program's two marks.
fn traced(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
    let lines = text.lines().map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '));
    let between = lines.skip_while(|l| !l.contains("\"begin\"")).take_while(|l| !l.contains("\"end\""));
    let call =
        |line: &str| line.split("= ").next().map(|call| without_numbers(&call.replace(',', ", "))).unwrap_or_default();
    between.map(call).collect()
}

#[test]
fn tracer() {
    let scratch = Scratch::new();
    let trace = |name: &str| scratch.join(name);
    let case = |name: &str| {
        let (file, program) = (trace(name).display().to_string(), program().display().to_string());
        Case::new("/usr/bin/strace", &["-f", "-s", "100", "-o", &file, &program, "/bin/echo"])
    };
    let bare = case("bare").bare();
    let expected = traced(&trace("bare"));
    assert!(bare.status == 7 && expected.len() > 60, "bare: {bare:?}\n{expected:#?}");
    for (name, hooked) in [("auto", case("auto").hooked()), ("symbols", case("symbols").symbols().hooked())] {
        assert!(
            !hooked.events.opens("/no/such/file").is_empty(),
            "{name}: the agent was not in the program: {hooked:?}"
        );
        assert_eq!(bare, hooked.outcome, "{name}");
        // in a ring that is not full the agent makes room by and by
        let calls = traced(&trace(name));
        let own: Vec<&String> = calls.iter().filter(|call| call.contains("MADV_POPULATE_WRITE")).collect();
        assert!(own.len() <= 2, "{name}: {own:?}");
        let others: Vec<&String> = calls.iter().filter(|call| !own.contains(call)).collect();
        assert_eq!(expected.iter().collect::<Vec<_>>(), others, "{name}: calls of its own, or calls that are missing");
    }
}
