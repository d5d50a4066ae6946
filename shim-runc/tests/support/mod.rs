//! A bundle with a small root file system, a state directory of its own, and both runtimes to run it with.
#![allow(dead_code)] // each test file uses its part

use porthole_common::control;
use porthole_registration::container::{Container, Injection};
use porthole_registration::layout::ContainerDir;
use porthole_registration::registry;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The program under test.
pub const SHIM: &str = env!("CARGO_BIN_EXE_porthole-runc");

/// Why the tests of this file cannot run here, if they cannot.
pub fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root");
    }
    let found = |name: &str| ["/usr/sbin", "/usr/bin", "/bin"].iter().any(|d| Path::new(d).join(name).exists());
    ["runc", "busybox", "cc"].into_iter().find(|name| !found(name)).map(|name| match name {
        "runc" => "needs runc",
        "busybox" => "needs busybox-static",
        _ => "needs cc",
    })
}

/// Ends a test that cannot run here.
#[macro_export]
macro_rules! need_runc {
    () => {
        if let Some(reason) = support::missing() {
            println!("SKIP: {reason}");
            return;
        }
    };
}

/// One bundle, removed at the end with everything that was made for it.
pub struct Bench {
    pub top: PathBuf,
    pub id: String,
}

impl Bench {
    pub fn new() -> Bench {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("pr{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let bench = Bench { top: std::env::temp_dir().join(format!("porthole-shim-{id}")), id };
        let bin = bench.rootfs().join("bin");
        fs::create_dir_all(&bin).unwrap();
        for dir in ["proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir_all(bench.rootfs().join(dir)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists()).unwrap();
        fs::copy(busybox, bin.join("busybox")).unwrap();
        for name in ["sh", "cat", "ls", "echo", "env", "true", "sleep"] {
            symlink("busybox", bin.join(name)).unwrap();
        }
        bench.add_dynamic_cat();
        let made = Command::new("runc").args(["spec", "--bundle"]).arg(bench.bundle()).status().unwrap();
        assert!(made.success());
        bench.edit(|spec| {
            spec["process"]["terminal"] = json!(false);
            spec["root"]["readonly"] = json!(false);
        });
        bench.script("echo out; echo err >&2; ls -a / /dev");
        agent();
        bench
    }

    /// `/bin/dyncat`, a program with a loader.
    fn add_dynamic_cat(&self) {
        // A busybox that is not static needs its libraries, too; ldd says nothing of one that is.
        let listed = Command::new("ldd").args(["/bin/cat", "/bin/busybox"]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for word in listed.split_whitespace().filter(|w| w.starts_with('/') && w.contains(".so") && !w.ends_with(':')) {
            let to = self.rootfs().join(&word[1..]);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(word, to).unwrap();
        }
        fs::copy("/bin/cat", self.rootfs().join("bin/dyncat")).unwrap();
    }

    pub fn bundle(&self) -> PathBuf {
        self.top.clone()
    }
    pub fn rootfs(&self) -> PathBuf {
        self.top.join("rootfs")
    }
    pub fn config(&self) -> PathBuf {
        self.top.join("config.json")
    }
    pub fn state(&self) -> PathBuf {
        self.top.join("state")
    }
    pub fn root(&self) -> PathBuf {
        self.top.join("runc")
    }
    pub fn log(&self) -> PathBuf {
        self.top.join("log.json")
    }
    pub fn dir(&self) -> ContainerDir {
        ContainerDir::new(&self.state(), &self.id).unwrap()
    }
    pub fn container(&self) -> Container {
        registry::read(&self.dir()).unwrap()
    }
    pub fn reason(&self) -> String {
        match self.container().injection {
            Injection::None { reason } => reason,
            Injection::Preload { library, .. } => panic!("injected as {library}"),
        }
    }
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut spec = self.spec();
        change(&mut spec);
        fs::write(self.config(), serde_json::to_string_pretty(&spec).unwrap()).unwrap();
    }
    pub fn spec(&self) -> Value {
        serde_json::from_slice(&fs::read(self.config()).unwrap()).unwrap()
    }
    pub fn script(&self, script: &str) {
        self.edit(|spec| spec["process"]["args"] = json!(["/bin/sh", "-c", script]));
    }
    /// Replaces every mount on or below `/dev` by these.
    pub fn dev_mounts(&self, mounts: &[Value]) {
        self.edit(|spec| {
            let list = spec["mounts"].as_array_mut().unwrap();
            list.retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
            list.extend_from_slice(mounts);
        });
    }

    /// A runtime with this bench's directories; `words` follow the global options.
    pub fn command<S: AsRef<OsStr>>(&self, runtime: impl AsRef<OsStr>, words: &[S]) -> Command {
        let mut command = Command::new(runtime);
        // runc's help shows the name it was called by.
        command.arg0("runc");
        command.arg("--root").arg(self.root()).arg("--log").arg(self.log()).args(["--log-format", "json"]).args(words);
        command
            .env("PORTHOLE_STATE_DIR", self.state())
            .env("PORTHOLE_LIBRARY", agent())
            .env("PORTHOLE_RUNC_CONFIG", "/none");
        command.current_dir(self.bundle());
        command
    }
    pub fn plain(&self, words: &[&str]) -> Output {
        self.command("runc", words).output().unwrap()
    }
    pub fn shim(&self, words: &[&str]) -> Output {
        self.command(SHIM, words).output().unwrap()
    }

    /// `run` with both runtimes: the same exit status and output. The log afterwards is that of porthole-runc.
    pub fn same_run(&self) -> Output {
        let plain = self.plain(&["run", &self.id]);
        let _ = fs::remove_file(self.log());
        let ours = self.shim(&["run", &self.id]);
        assert_same(&plain, &ours);
        ours
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.command("runc", &["delete", "--force", &self.id]).output();
        for entry in fs::read_dir(self.state().join("containers")).into_iter().flatten().flatten() {
            if let Some(dir) = entry.file_name().to_str().and_then(|id| ContainerDir::new(&self.state(), id)) {
                let _ = registry::remove(&dir);
            }
        }
        let _ = Command::new("umount").arg("-q").arg(self.state()).output();
        let _ = fs::remove_dir_all(&self.top);
    }
}

pub fn assert_same(plain: &Output, ours: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&plain.stdout), text(&ours.stdout));
    assert_eq!(text(&plain.stderr), text(&ours.stderr));
    assert_eq!(plain.status, ours.status);
}

/// A library with a control page that does nothing: these tests are about getting it in.
pub fn agent() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let stem = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("agent-{}", std::process::id()));
        let (source, library) = (stem.with_extension("c"), stem.with_extension("so"));
        let magic = String::from_utf8_lossy(&control::MAGIC[..control::MAGIC.len() - 1]).into_owned();
        let text = format!("__attribute__((aligned(4096))) const char page[4096] = \"{magic}\";");
        fs::write(&source, text).unwrap();
        let flags = ["-shared", "-nostdlib", "-fPIC", "-o"];
        assert!(Command::new("cc").args(flags).arg(&library).arg(&source).status().unwrap().success());
        library
    })
}
