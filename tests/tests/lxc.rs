//! A container of LXC: its configuration is told, what runs in it is recorded under its name, and nothing is left of it
//! afterwards.

use porthole_tests::binaries;
use porthole_tests::collector::Collector;
use porthole_tests::installed::Place;
use porthole_tests::program::{self, Outcome};
use porthole_tests::{rootfs, skip, wait};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "porthole-test-system";

/// A container that is stopped in the end.
struct Lxc {
    collector: Collector,
    home: PathBuf,
}

impl Lxc {
    fn run(&self, program: &str, args: &[&str], agent: &Path) -> Outcome {
        let mut command = Command::new(format!("/usr/bin/lxc-{program}"));
        command.arg("-P").arg(&self.home).args(["-n", NAME]).args(args);
        command.env("PORTHOLE_STATE_DIR", self.collector.state_dir()).env("PORTHOLE_LIBRARY", agent);
        program::run(&mut command)
    }

    fn start(&self, agent: &Path) {
        let log = self.home.join("log").display().to_string();
        let started = self.run("start", &["-d", "-l", "INFO", "-o", &log], agent);
        let text = fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(started.status, 0, "{started:?}\n{text}");
        // a host name of its own, from its first process
        self.said("a name", "/etc/said");
    }

    /// Waits until the container's first process has written something.
    fn said(&self, what: &str, file: &str) {
        let path = self.root().join(&file[1..]);
        wait::until_true(what, || fs::read_to_string(&path).is_ok_and(|text| text.ends_with("done\n")));
        fs::remove_file(path).expect("an own file");
    }

    fn stop(&self) {
        self.run("stop", &["--kill"], &binaries::agent());
    }

    fn root(&self) -> PathBuf {
        self.home.join(NAME).join("root")
    }
}

impl Drop for Lxc {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_container_is_told_recorded_and_as_before_afterwards() {
    if !Path::new("/usr/bin/lxc-start").exists() {
        skip!("lxc is not installed");
    }
    let collector = Collector::start();
    let home = collector.scratch().dir("lxc");
    let lxc = Lxc { home: home.clone(), collector };
    let root = lxc.collector.scratch().dir(&format!("lxc/{NAME}/root"));
    rootfs::make(&root);
    let init =
        "#!/bin/sh\ncat /etc/secret >/etc/said\n(cat /etc/passwd >/dev/null)\necho done >>/etc/said\nexec sleep 600\n";
    fs::write(root.join("t/init"), init).expect("an own file");
    fs::set_permissions(root.join("t/init"), fs::Permissions::from_mode(0o755)).expect("an own file");
    let before = format!(
        "# somebody's\nlxc.uts.name = inside\nlxc.rootfs.path = dir:{}\nlxc.net.0.type = none\nlxc.init.cmd = /t/init",
        root.display()
    );
    let place = Place::new(home.join(NAME).join("config"), home.join("kept"));
    fs::write(&place.config, &before).expect("an own file");
    let stamp = place.stamp();
    let agent = binaries::agent();
    let state = lxc.collector.state_dir().display().to_string();
    let tell = |verb: &str, more: &[&str]| {
        place.run_in(&state, verb, "lxc", &[&["--container", NAME], more].concat()).ok("porthole install lxc").text()
    };
    assert!(tell("install", &["--dry-run"]).contains("+lxc.hook.pre-start"));
    assert_eq!(place.stamp(), stamp, "--dry-run changes nothing");
    tell("install", &[]);

    lxc.start(&agent);
    let all = lxc.collector.wait_for("records of its first programs", |e| {
        let own = e.of_container(NAME);
        !own.opens("/etc/secret").is_empty() && !own.execs("/bin/cat").is_empty()
    });
    let own = all.of_container(NAME);
    for event in &own.0 {
        let known = ["container.id", "container.full_id", "container.type"].map(|field| event.text(field));
        assert_eq!(known, [NAME, NAME, "lxc"], "{event:?}");
    }
    // who comes in from outside is seen, too
    lxc.run("attach", &["--", "/bin/cat", "/etc/hostname"], &agent).ok("lxc-attach");
    lxc.collector.wait_for("what was done from outside", |e| !e.of_container(NAME).opens("/etc/hostname").is_empty());
    lxc.stop();
    lxc.collector.wait_for("its end", |e| !e.of_container(NAME).filter(|e| e.kind() == "container.stop").is_empty());
    assert!(!root.join("etc/ld.so.preload").exists() && !root.join("dev/porthole").exists(), "no trace in its files");

    // without the agent it starts all the same, and no program complains
    lxc.start(Path::new("/no/such/agent"));
    let said = lxc.run("attach", &["--", "/bin/cat", "/etc/hostname"], &agent);
    assert_eq!((said.status, said.text(), said.errors()), (0, "container".into(), String::new()));
    lxc.stop();

    tell("uninstall", &[]);
    assert_eq!((fs::read_to_string(&place.config).ok().as_deref(), place.stamp()), (Some(&*before), stamp));
    lxc.start(&agent);
    let registered = lxc.collector.state_dir().join("containers").join(NAME).join("container.json");
    wait::until_true("nothing is registered", || !registered.exists());
    lxc.stop();
}
