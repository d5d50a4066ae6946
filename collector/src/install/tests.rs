use super::*;
use std::fs;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let dir = std::env::temp_dir().join(format!("porthole-install-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Place(dir)
    }

    fn request(&self, engine: Engine, default: bool) -> Request {
        Request {
            engine,
            config: Some(self.config()),
            container: Some("c".into()),
            wrapper: "/usr/bin/porthole-runc".into(),
            default,
            kept: self.0.join("kept"),
        }
    }

    fn config(&self) -> PathBuf {
        self.0.join("dir/config")
    }

    fn put(&self, text: Option<&str>) {
        fs::create_dir_all(self.0.join("dir")).unwrap();
        match text {
            Some(text) => fs::write(self.config(), text).unwrap(),
            None => drop(fs::remove_file(self.config())),
        }
    }

    fn get(&self) -> Option<String> {
        fs::read_to_string(self.config()).ok()
    }

    fn install(&self, request: &Request) -> Change {
        let change = super::install(request).unwrap();
        apply(request, &change, true).unwrap();
        change
    }

    fn uninstall(&self, request: &Request) {
        apply(request, &super::uninstall(request).unwrap(), false).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const DOCKER: &str =
    "{\n    \"log-level\": \"warn\",\n    \"runtimes\": {\"nvidia\": {\"path\": \"/n\", \"runtimeArgs\": []}}\n}";
const CONTAINERD: &str = r#"# ours, do not touch
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3.9" # mirrored
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true # or pods die
      NoNewKeyring = true
# the end
"#;

#[test]
fn a_configuration_comes_back_byte_for_byte() {
    let cases = [
        (Engine::Docker, None),
        (Engine::Docker, Some("")),
        (Engine::Docker, Some("{}")),
        (Engine::Docker, Some(DOCKER)),
        (Engine::Containerd, None),
        (Engine::Containerd, Some("")),
        (Engine::Containerd, Some("version = 2\n")),
        (Engine::Containerd, Some("version = 3\n# x")),
        (Engine::Containerd, Some(CONTAINERD)),
        (Engine::Containerd, Some("version = 2\r\n# of Windows\r\n[grpc]\r\nuid = 7\r\n")),
        (Engine::Crio, None),
        (Engine::Podman, None),
    ];
    for (n, (engine, text)) in cases.into_iter().enumerate() {
        let place = Place::new(&format!("bytes-{n}"));
        place.put(text);
        for default in [false, true] {
            let request = place.request(engine, default);
            assert!(!place.install(&request).is_nothing(), "{engine:?} {text:?}");
            let first = place.get();
            assert!(place.install(&request).is_nothing(), "a second time changes nothing");
            assert_eq!(place.get(), first);
        }
        // from one to the other and out
        place.uninstall(&place.request(engine, false));
        assert_eq!(place.get().as_deref(), text, "{engine:?}");
        assert!(fs::read_dir(place.0.join("kept")).unwrap().next().is_none());
        assert_eq!(
            fs::read_dir(place.0.join("dir")).into_iter().flatten().count(),
            text.iter().len(),
            "nothing is left beside"
        );
        place.uninstall(&place.request(engine, false));
        assert_eq!(place.get().as_deref(), text, "{engine:?}");
    }
}

#[test]
fn a_container_of_lxc() {
    for text in ["# own\nlxc.uts.name = c", "", "lxc.rootfs.path = dir:/r\n"] {
        let place = Place::new("lxc");
        place.put(Some(text));
        let mut request = place.request(Engine::Lxc, false);
        place.install(&request);
        let after = place.get().unwrap();
        assert!(
            after.starts_with(text) && after.contains("lxc.hook.pre-start = /usr/bin/porthole-runc lxc-hook\n"),
            "{after}"
        );
        assert!(place.install(&request).is_nothing());
        // with what somebody has added since
        place.put(Some(&format!("{after}lxc.start.auto = 1\n")));
        assert!(place.install(&request).after.unwrap().contains("lxc.start.auto = 1\n"));
        place.uninstall(&request);
        let left = place.get().unwrap();
        assert!(
            left.ends_with("lxc.start.auto = 1\n") && left.starts_with(text) && !left.contains("porthole"),
            "{left}"
        );
        request.default = true;
        assert!(super::install(&request).is_err());
        (request.default, request.container) = (false, None);
        assert!(super::install(&request).unwrap_err().to_string().contains("--container NAME"));
        request.container = Some("c".into());
        place.put(None);
        assert!(super::install(&request).unwrap_err().to_string().contains("no container"));
    }
}

#[test]
fn what_is_there_stays_and_the_options_of_runc_are_kept() {
    let place = Place::new("stays");
    place.put(Some(CONTAINERD));
    place.install(&place.request(Engine::Containerd, true));
    let after = place.get().unwrap();
    for line in CONTAINERD.lines() {
        assert!(after.lines().any(|l| l == line), "{line:?} is gone:\n{after}");
    }
    let config: toml_edit::DocumentMut = after.parse().unwrap();
    let containerd = &config["plugins"]["io.containerd.grpc.v1.cri"]["containerd"];
    let ours = &containerd["runtimes"]["porthole"];
    assert_eq!(containerd["default_runtime_name"].as_str(), Some("porthole"), "{after}");
    assert_eq!(ours["options"]["SystemdCgroup"].as_bool(), Some(true), "{after}");
    assert_eq!(ours["options"]["NoNewKeyring"].as_bool(), Some(true));
    assert_eq!(ours["options"]["BinaryName"].as_str(), Some("/usr/bin/porthole-runc"));
    assert_eq!(containerd["runtimes"]["runc"]["options"].get("BinaryName").map(|_| ()), None);

    let place = Place::new("docker");
    place.put(Some(DOCKER));
    place.install(&place.request(Engine::Docker, false));
    let after = place.get().unwrap();
    let config: serde_json::Value = serde_json::from_str(&after).unwrap();
    assert_eq!(config["runtimes"]["nvidia"]["path"], "/n");
    assert_eq!(config["runtimes"]["porthole"]["path"], "/usr/bin/porthole-runc");
    assert!(config.get("default-runtime").is_none() && after.starts_with("{\n    \"log-level\""), "{after}");
}

#[test]
fn what_was_changed_since_is_kept() {
    let place = Place::new("changed");
    place.put(Some(CONTAINERD));
    let request = place.request(Engine::Containerd, true);
    place.install(&request);
    let edited = place.get().unwrap().replace("# the end", "# edited");
    place.put(Some(&edited));
    place.uninstall(&request);
    let after = place.get().unwrap();
    assert!(after.contains("# edited") && !after.contains("porthole"), "{after}");

    let place = Place::new("changed-docker");
    place.put(Some("{}"));
    let request = place.request(Engine::Docker, true);
    place.install(&request);
    place.put(Some(&place.get().unwrap().replacen('{', "{ \"debug\": true,", 1)));
    place.uninstall(&request);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&place.get().unwrap()).unwrap(),
        serde_json::json!({"debug": true})
    );
}

#[test]
fn broken_configurations_are_left_alone() {
    for (engine, text) in [
        (Engine::Docker, "{"),
        (Engine::Docker, "// comment\n{}"),
        (Engine::Docker, "[]"),
        (Engine::Docker, "{\"runtimes\": []}"),
        (Engine::Docker, "{\"default-runtime\": \"nvidia\"}"),
        (Engine::Containerd, "version = 2\n[plugins"),
        (Engine::Containerd, "[plugins.cri]\nx = 1\n"),
        (Engine::Containerd, "version = 2\nplugins = 5\n"),
        (Engine::Containerd, "version = 9\n"),
        (
            Engine::Containerd,
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nBinaryName = \"/n\"\n",
        ),
    ] {
        let place = Place::new("broken");
        place.put(Some(text));
        let said = super::install(&place.request(engine, true));
        assert!(said.is_err(), "{engine:?} {text:?}: {said:?}");
        assert_eq!(place.get().as_deref(), Some(text));
    }
}

#[test]
fn a_death_between_the_two_files_does_no_harm() {
    for (engine, text) in [(Engine::Docker, DOCKER), (Engine::Containerd, CONTAINERD)] {
        let place = Place::new("halfway");
        place.put(Some(text));
        fs::create_dir_all(place.0.join("kept")).unwrap();
        for default in [false, true] {
            // the record is written, the configuration is not
            let request = place.request(engine, default);
            let change = super::install(&request).unwrap();
            change.record.unwrap().write(&request.kept, engine, &change.config).unwrap();
            place.uninstall(&request);
            assert_eq!(place.get().as_deref(), Some(text));
            place.install(&place.request(engine, !default));
            let change = super::install(&request).unwrap();
            change.record.unwrap().write(&request.kept, engine, &change.config).unwrap();
            place.install(&request);
            place.uninstall(&request);
            assert_eq!(place.get().as_deref(), Some(text));
        }
    }
}

#[test]
fn a_lost_record_does_not_make_porthole_the_original() {
    for (engine, text) in [(Engine::Docker, "{\n  \"debug\": true\n}\n"), (Engine::Containerd, CONTAINERD)] {
        let place = Place::new("lost");
        place.put(Some(text));
        let request = place.request(engine, false);
        place.install(&request);
        fs::remove_dir_all(&request.kept).unwrap();
        place.install(&request);
        place.uninstall(&request);
        assert_eq!(place.get().as_deref(), Some(text), "{engine:?}");
    }
}

#[test]
fn what_decides_is_changed_and_not_what_is_imported_over() {
    let place = Place::new("imports");
    let main = "version = 2\nimports = [\"more/*.toml\", \"/no/such\"]\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n\
                default_runtime_name = \"own\"\n";
    place.put(Some(main));
    let more = place.0.join("dir/more");
    fs::create_dir_all(&more).unwrap();
    let decides = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.own]\nruntime_type = \"io.containerd.runc.v2\"\n\
                   options = { SystemdCgroup = true }\n";
    fs::write(more.join("50.toml"), decides).unwrap();
    fs::write(more.join("90.toml"), "[grpc]\nuid = 7\n").unwrap();
    fs::write(more.join("99.other"), "no TOML").unwrap();
    let request = place.request(Engine::Containerd, true);
    let change = place.install(&request);
    assert_eq!((change.path, place.get().as_deref()), (more.join("50.toml"), Some(main)));
    let after = fs::read_to_string(more.join("50.toml")).unwrap();
    let config: toml_edit::DocumentMut = after.parse().unwrap();
    let ours = &config["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["porthole"];
    assert_eq!(ours["options"]["SystemdCgroup"].as_bool(), Some(true), "{after}");
    // what decides later is told, not silently changed too
    fs::write(more.join("95.toml"), decides).unwrap();
    assert!(super::install(&request).unwrap_err().to_string().contains("uninstall containerd first"));
    place.uninstall(&request);
    assert_eq!(fs::read_to_string(more.join("50.toml")).unwrap(), decides);
}

#[test]
fn a_link_mode_time_and_directories() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new("meta");
    place.put(None);
    let real = place.0.join("real.json");
    fs::write(&real, DOCKER).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_007);
    fs::File::options().write(true).open(&real).unwrap().set_modified(old).unwrap();
    symlink("../real.json", place.config()).unwrap();
    let request = place.request(Engine::Docker, false);
    place.install(&request);
    assert!(place.config().is_symlink() && fs::read_to_string(&real).unwrap().contains("porthole"));
    place.install(&place.request(Engine::Docker, true));
    place.uninstall(&request);
    let meta = fs::metadata(&real).unwrap();
    assert!(place.config().is_symlink() && fs::read_to_string(&real).unwrap() == DOCKER);
    assert_eq!((meta.permissions().mode() & 0o7777, meta.modified().unwrap()), (0o640, old));
    // a link that leads nowhere is somebody's mistake, and no place for a file of ours
    fs::remove_file(&real).unwrap();
    assert!(super::install(&request).is_err());

    let place = Place::new("dirs");
    place.install(&place.request(Engine::Crio, false));
    place.uninstall(&place.request(Engine::Crio, false));
    assert!(!place.0.join("dir").exists(), "directories made for it are gone");
}

mod distributions;
