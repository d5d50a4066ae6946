//! porthole beside other libraries that put themselves into programs: what a program does and says is as with the other
//! alone, and the records are there. `docs/COEXISTENCE.md` is the table of these cases.

use porthole_tests::binaries;
use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::compare::{Case, Hooked};
use porthole_tests::events::Events;
use porthole_tests::program;
use porthole_tests::rootfs;
use porthole_tests::scratch::Scratch;
use porthole_tests::targets;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// A library of Debian's; `None`, and a word, where it is not installed.
fn debian(name: &str) -> Option<String> {
    let path = format!("{LIBRARIES}/{name}");
    if Path::new(&path).exists() {
        return Some(path);
    }
    println!("SKIP: {path} is not installed (scripts/setup)");
    None
}

/// The same bare and hooked, at both depths.
fn same_at_each_depth(case: &Case, expected: &str) -> [Hooked; 2] {
    let bare = case.bare();
    assert!(bare.text().contains(expected), "bare, it does not say {expected:?}: {bare:?}");
    [case.same(), case.clone().symbols().same()]
}

/// Programs of several kinds, with children.
const WORK: &str = "cat /etc/hostname; getent passwd root; ls /etc | tail -1; (cat /etc/hostname) | wc -l; \
                    python3 -c 'import subprocess; print(subprocess.check_output([\"cat\", \"/etc/hostname\"]))'; exit 3";

/// Puts a library in front of the agent, as `LD_PRELOAD=library program` in a container does; or behind it.
fn preloading(library: &str, ours_first: bool, program: &[&str]) -> Case {
    let script = match ours_first {
        false => "LD_PRELOAD=$1",
        // our own entry is where the kernel was given it, whatever the shell sees
        true => "own=$(tr '\\0' '\\n' </proc/self/environ | sed -n 's/^LD_PRELOAD=//p'); LD_PRELOAD=${own:+$own:}$1",
    };
    let script = format!("{script}; export LD_PRELOAD; shift; exec \"$@\"");
    Case::new("/bin/sh", &[&["-c", &script, "sh", library], program].concat())
}

/// Both orders, both depths; the records of the work are there.
fn in_both_orders(library: &str) {
    for ours_first in [false, true] {
        for hooked in same_at_each_depth(&preloading(library, ours_first, &["/bin/sh", "-c", WORK]), "root:x:0:0") {
            let opens = hooked.events.opens("/etc/hostname").filter(|e| e.text("proc.name") == "cat");
            assert_eq!(opens.len(), 3, "{library}, ours first {ours_first}:\n{}", hooked.events);
            assert!(hooked.events.execs("/python3").len() == 1 || hooked.events.execs("/python3.11").len() == 1);
            assert!(!hooked.events.opens(library).is_empty(), "it is told among the libraries:\n{}", hooked.events);
        }
    }
}

// -- libraries of a user's own LD_PRELOAD -----------------------------------------------------------------------------

#[test]
fn allocators() {
    for name in ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0"] {
        let Some(library) = debian(name) else { continue };
        in_both_orders(&library);
        let mixed = targets::glibc("mixed").display().to_string();
        same_at_each_depth(&preloading(&library, false, &[&mixed]), "child 0");
    }
}

#[test]
fn eatmydata() {
    if let Some(library) = debian("libeatmydata.so.1") {
        in_both_orders(&library);
    }
}

#[test]
fn names_from_nss_wrapper() {
    let Some(library) = debian("libnss_wrapper.so") else { return };
    let dir = Scratch::new();
    let people = dir.file("people", "ghost:x:77:77::/:/bin/sh\n").display().to_string();
    for ours_first in [false, true] {
        let case = preloading(&library, ours_first, &["/usr/bin/getent", "passwd", "ghost"]);
        let case = case.env("NSS_WRAPPER_PASSWD", &*people).env("NSS_WRAPPER_GROUP", "/etc/group");
        for hooked in same_at_each_depth(&case, "ghost:x:77") {
            assert!(!hooked.events.opens(&people).is_empty(), "the file that was really opened:\n{}", hooked.events);
        }
    }
}

#[test]
fn a_program_in_another_time_has_records_of_the_real_one() {
    let Some(library) = debian("faketime/libfaketime.so.1") else { return };
    for ours_first in [false, true] {
        let script = "date +%F; cat /etc/hostname; touch /tmp/x$$; rm /tmp/x$$";
        let case = preloading(&library, ours_first, &["/bin/sh", "-c", script]).env("FAKETIME", "2008-12-24 08:15:42");
        for hooked in same_at_each_depth(&case, "2008-12-24") {
            assert_eq!(hooked.events.opens("/etc/hostname").len(), 1, "{}", hooked.events);
            let fake = hooked.events.filter(|e| e.text("time").starts_with("2008"));
            assert!(fake.is_empty(), "told in the program's time: {fake}");
        }
    }
}

#[test]
fn fakeroot_pretends_and_the_record_shows_what_was_asked() {
    let Some(_) = debian("libfakeroot/libfakeroot-sysv.so") else { return };
    let dir = Scratch::new();
    let file = dir.file("f", "x").display().to_string();
    std::os::unix::fs::chown(dir.path(), Some(1000), Some(1000)).expect("as root");
    std::os::unix::fs::chown(dir.join("f"), Some(1000), Some(1000)).expect("as root");
    let script = format!(
        "chown 12:34 {file} && stat -c %u:%g {file}; chmod 4755 {file} && stat -c %a {file}; id -u; \
         tar c -C {} f | tar tv | cut -c1-20",
        dir.path().display()
    );
    let case = Case::new(
        "/usr/bin/setpriv",
        &["--reuid=1000", "--regid=1000", "--clear-groups", "fakeroot", "sh", "-c", &script],
    );
    for hooked in same_at_each_depth(&case, "12:34\n4755\n0") {
        assert!(!hooked.events.execs("/chown").is_empty(), "{}", hooked.events);
        let asked = hooked.events.filter(|e| e.kind() == "fchownat" || e.kind() == "chown" || e.kind() == "lchown");
        // fakeroot stands in front: what it passes on is refused, and it tells the program otherwise
        let refused = asked.filter(|e| e.text("evt.res") == "EPERM");
        assert!(!refused.is_empty(), "{}", hooked.events);
    }
}

#[test]
fn snoopy_logs_every_exec_in_a_container() {
    let Some(library) = debian("libsnoopy.so.0.0.0") else { return };
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    std::fs::copy(library, root.join("lib/libsnoopy.so")).expect("an own directory");
    std::fs::write(root.join("etc/snoopy.ini"), "[snoopy]\nmessage_format = %{cmdline}\noutput = file:/tmp/snoopy\n")
        .expect("an own directory");
    let script = "/bin/cat /etc/hostname; /usr/bin/env -u LD_PRELOAD /bin/true; /t/script; exit 3";
    let bundle = Bundle::new(&root, &["/bin/sh", "-c", script]).with(|spec| {
        spec["process"]["env"].as_array_mut().expect("a list").push("LD_PRELOAD=/lib/libsnoopy.so".into());
    });
    let logged = || {
        let text = std::fs::read_to_string(root.join("tmp/snoopy")).unwrap_or_default();
        let _ = std::fs::remove_file(root.join("tmp/snoopy"));
        text
    };
    let plain = (bundle.run(None), logged());
    assert!(plain.0.status == 3 && plain.1.contains("/bin/cat /etc/hostname"), "{plain:?}");
    assert_eq!(plain, (bundle.run(Some(&collector.state_dir())), logged()), "log: {}", bundle.log());
    collector.wait_for("our records beside its own", |e| {
        let own = e.of_container(&bundle.id);
        own.execs("/bin/cat").len() == 2 && own.execs("/bin/true").len() == 2 && own.opens("/etc/hostname").len() == 2
    });
}

#[test]
fn an_allocator_in_a_container() {
    let Some(library) = debian("libjemalloc.so.2") else { return };
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    let listed = program::run(Command::new("ldd").arg(&library)).ok("ldd").text();
    for needed in listed.split_whitespace().filter(|w| w.starts_with('/')).chain([library.as_str()]) {
        std::fs::create_dir_all(root.join(&needed[1..]).parent().expect("a file's")).expect("an own directory");
        std::fs::copy(needed, root.join(&needed[1..])).expect("an own directory");
    }
    let bundle = Bundle::new(&root, &["/t/probe", "/etc/secret"]).with(|spec| {
        spec["process"]["env"].as_array_mut().expect("a list").push(format!("LD_PRELOAD={library}").into());
    });
    let plain = bundle.run(None);
    assert_eq!((plain.status, &plain), (3, &bundle.run(Some(&collector.state_dir()))), "{}", bundle.log());
    collector.wait_for("the records", |e| {
        let own = e.of_container(&bundle.id);
        own.opens("/etc/secret").len() == 1 && own.execs("/bin/true").len() == 1 && !own.opens(&library).is_empty()
    });
}

// -- two of us --------------------------------------------------------------------------------------------------------

#[test]
fn porthole_in_porthole_and_both_see() {
    for (outer, inner) in [("auto", "auto"), ("auto", "symbols"), ("symbols", "auto"), ("symbols", "symbols")] {
        let dir = Scratch::new();
        let porthole = binaries::porthole();
        let (one, two) = (dir.join("outer"), dir.join("inner"));
        let mut command = Command::new(&porthole);
        command.arg("--state-dir").arg(dir.join("a")).args(["run", "--quiet", "--depth", outer, "--events"]).arg(&one);
        command.arg("--").arg(&porthole).arg("--state-dir").arg(dir.join("b"));
        command.args(["run", "--quiet", "--depth", inner, "--events"]).arg(&two);
        let out = program::run(command.args(["--", "/bin/sh", "-c", "cat /etc/hostname; env -i /bin/true; exit 3"]));
        assert!(out.status == 3 && out.errors().is_empty(), "{outer} around {inner}: {out:?}");
        for (name, file) in [("outer", one), ("inner", two)] {
            let events = Events::so_far(&file);
            assert_eq!(events.opens("/etc/hostname").len(), 1, "{outer} around {inner}, {name}:\n{events}");
            assert_eq!(events.execs("/bin/true").len(), 1, "{outer} around {inner}, {name}:\n{events}");
        }
    }
}

#[test]
fn a_copy_without_a_host_of_its_own_is_silent() {
    let dir = Scratch::new();
    let copy = dir.join("libporthole.so");
    std::fs::copy(binaries::agent(), &copy).expect("an own directory");
    in_both_orders(&copy.display().to_string());
}

// -- the loader's other ways ------------------------------------------------------------------------------------------

#[test]
fn audit_libraries() {
    let audit = targets::library("audit").display().to_string();
    let case = Case::new("/usr/bin/env", &[&format!("LD_AUDIT={audit}"), "/bin/sh", "-c", WORK]);
    for hooked in same_at_each_depth(&case, "root:x:0:0") {
        let opens = hooked.events.opens("/etc/hostname").filter(|e| e.text("proc.name") == "cat");
        assert_eq!(opens.len(), 3, "{}", hooked.events);
    }
}

#[test]
fn plugins_bound_to_their_own_libraries() {
    let plugin = targets::library("plugin").display().to_string();
    let dir = Scratch::new();
    let file = dir.file("read", "x").display().to_string();
    let [sites, symbols] =
        same_at_each_depth(&Case::new(targets::glibc("deepbind"), &[&*plugin, &*file]), "deep: 1\napart: 1");
    // the C library that both share is patched; the plugin of the other name space has one of its own
    let patched = !sites.events.filter(|e| e.text("porthole.source") == "sites").is_empty();
    assert_eq!(sites.events.opens(&file).len(), if patched { 2 } else { 0 }, "{}", sites.events);
    assert_eq!(symbols.events.opens(&file).len(), 0, "{}", symbols.events);
}

#[test]
fn settings_of_the_loader() {
    same_at_each_depth(&Case::shell(WORK).env("LD_BIND_NOW", "1"), "root:x:0:0");
    // what it says of itself names one library more
    for case in [Case::shell(WORK).env("LD_DEBUG", "libs"), Case::shell(WORK).env("LD_DEBUG", "bindings")] {
        let (bare, hooked) = (case.bare(), case.hooked());
        assert_eq!((bare.status, bare.stdout), (hooked.outcome.status, hooked.outcome.stdout));
    }
    let loader = "/lib64/ld-linux-x86-64.so.2";
    for case in [Case::new("/usr/bin/ldd", &["/bin/cat"]), Case::new(loader, &["--list", "/bin/cat"])] {
        let names = |text: String| -> Vec<String> {
            let others = text.lines().filter(|l| !l.contains("libporthole.so"));
            others.map(|l| l.split(" (0x").next().unwrap_or(l).to_owned()).collect()
        };
        let (bare, hooked) = (case.bare(), case.hooked());
        assert_eq!((bare.status, names(bare.text())), (hooked.outcome.status, names(hooked.outcome.text())));
        assert_eq!(bare.errors(), hooked.outcome.errors());
    }
    let hooked = Case::new(loader, &["/bin/cat", "/etc/hostname"]).same();
    assert_eq!(hooked.events.opens("/etc/hostname").len(), 1, "started by the loader:\n{}", hooked.events);
}

#[test]
fn a_debugger_that_preloads() {
    let Some(library) = debian("libeatmydata.so.1") else { return };
    let wrapper = format!("set exec-wrapper env LD_PRELOAD={library}");
    let args = ["-nx", "-batch", "-ex", &wrapper, "-ex", "run", "--args", "/bin/cat", "/etc/hostname"];
    let case = Case::new("/usr/bin/gdb", &args).env("DEBUGINFOD_URLS", "");
    let (bare, hooked) = (case.bare(), case.hooked());
    let own = std::fs::read_to_string("/etc/hostname").expect("this machine has a name");
    let says = |text: String| text.contains(own.trim()) && text.contains("exited normally");
    assert!(says(bare.text()) && says(hooked.outcome.text()), "{bare:?}\n{hooked:?}");
    assert_eq!(hooked.events.opens("/etc/hostname").len(), 1, "{}", hooked.events);
}

// -- how a program is linked ------------------------------------------------------------------------------------------

fn build(name: &str, kind: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("targets/{name}.c"));
    targets::compile(&source, &format!("{name}-{kind}"), "gcc", flags)
}

#[test]
fn a_program_with_functions_of_its_own() {
    for (kind, flags) in [
        ("plain", &[][..]),
        ("exported", &["-rdynamic"]),
        ("now", &["-Wl,-z,now", "-Wl,-z,relro", "-pie", "-fPIE"]),
        ("lazy", &["-Wl,-z,lazy", "-no-pie"]),
    ] {
        let [sites, symbols] =
            same_at_each_depth(&Case::new(build("ownfuncs", kind, flags), &["/etc/hostname"]), "root: opens 1");
        // its own open calls `syscall`, which is seen; fopen goes through the C library
        for hooked in [sites, symbols] {
            assert_eq!(hooked.events.opens("/etc/hostname").len(), 2, "{kind}: {}", hooked.events);
        }
    }
    let case = Case::new(build("mixed", "static-pie", &["-static-pie"]), &[""; 0]);
    let hooked = same_at_each_depth(&case, "child 0");
    for hooked in hooked {
        assert_eq!(hooked.events.execs("/cat").len(), 1, "its dynamic child announces itself:\n{}", hooked.events);
        assert_eq!(
            hooked.events.opens("/etc/hostname").len(),
            1,
            "its threads' opens are not seen:\n{}",
            hooked.events
        );
    }
}

#[test]
fn sanitizers() {
    // AddressSanitizer's shared runtime: see the suite of the exec rule
    for (kind, flags) in [
        ("tsan", &["-fsanitize=thread"][..]),
        ("ubsan", &["-fsanitize=undefined"]),
        ("lsan", &["-fsanitize=leak"]),
        ("asan-static", &["-fsanitize=address", "-static-libasan"]),
        ("tsan-static", &["-fsanitize=thread", "-static-libtsan"]),
    ] {
        for hooked in same_at_each_depth(&Case::new(build("mixed", kind, flags), &[""; 0]), "child 0") {
            let opens = hooked.events.opens("/etc/hostname");
            assert_eq!(opens.len(), 5, "{kind}: four threads and a child:\n{}", hooked.events);
        }
    }
}
