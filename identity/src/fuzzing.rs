//! Doors for `fuzz/`: what is private and reads files of engines. Not in any build but its own.
#![allow(missing_docs)]

use crate::bolt::{HEADER, MAGIC, META, VERSION, fnv};
use crate::cgroup::{Matchers, may_belong, paths};
use crate::image::{Image, as_id};
use crate::{cni, complete};
use porthole_registration::bounds;
use porthole_registration::container::{Container, Engine, Mount, Pod};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::LazyLock;

/// The container that all of it is about.
const ID: &str = "bfdf337795d09507533028f3f7078c343a1407c15f2403d250e9123fba11ef82";
/// The smallest there is: more of a database fits into an input.
const PAGE: usize = 512;

/// Where engines would keep their files.
static PLACE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("porthole-fuzz-engines-{}", std::process::id())));

/// Writes one of their files.
fn put(file: &str, bytes: &[u8]) {
    let path = PLACE.join(file);
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let file: File = open().unwrap_or_else(|_| {
        fs::create_dir_all(path.parent().expect("a parent")).expect("an own directory");
        open().expect("an own file")
    });
    file.write_all_at(bytes, 0).expect("room for it");
}

/// What one of the engines has written about a container.
pub fn engines(which: u8, bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |b| *b == 0);
    let mut part = || parts.next().unwrap_or_default();
    match which % 7 {
        0 => {
            let own = format!("docker/containers/{ID}");
            put(&format!("{own}/config.v2.json"), part());
            put(&format!("{own}/hostconfig.json"), part());
            put("docker/image/overlay2/repositories.json", part());
            let source = PLACE.join(&own).join("hosts").display().to_string();
            let mount = Mount { source, destination: "/etc/hosts".into(), ..Mount::default() };
            check(Container { engine: Engine::Docker, mounts: vec![mount], ..Container::default() });
        }
        1 => {
            put("lists/overlay-containers/containers.json", part());
            put("lists/overlay-images/images.json", part());
            check(Container { engine: Engine::Podman, bundle: bundle("lists"), ..Container::default() });
        }
        2 => {
            put("podman/overlay-containers/containers.json", b"[]");
            put("podman/libpod/bolt_state.db", &database(bytes));
            check(Container { engine: Engine::Podman, bundle: bundle("podman"), ..Container::default() });
        }
        3 => {
            put("containerd/io.containerd.metadata.v1.bolt/meta.db", &database(bytes));
            let bundle = PLACE.join("containerd/io.containerd.runtime.v2.task/ns").join(ID);
            let task = Container { bundle: bundle.display().to_string(), ..Container::default() };
            fs::create_dir_all(&bundle).expect("an own directory");
            let _ = std::os::unix::fs::symlink(&bundle, bundle.join("work"));
            check(Container { engine: Engine::Containerd, ..task.clone() });
            check(Container { engine: Engine::Cri, pod: Some(Pod::default()), ..task });
        }
        4 => {
            let Ok(annotations) = serde_json::from_slice(bytes) else { return };
            check(Container { engine: Engine::CriO, annotations, pod: Some(Pod::default()), ..Container::default() });
        }
        5 => {
            let Ok(result) = serde_json::from_slice(bytes) else { return };
            assert!(!cni::address(&result).contains('/'));
        }
        _ => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            groups(text);
            reference(text);
        }
    }
}

/// A directory of podman's storage, which a container's bundle lies in.
fn bundle(storage: &str) -> String {
    PLACE.join(storage).join("overlay-containers").join(ID).join("userdata").display().to_string()
}

/// Whatever its engine says, the container stays who it is, and small.
fn check(container: Container) {
    let mut c = Container { id: ID.into(), ..container };
    let before = c.clone();
    complete(&mut c);
    assert_eq!((&c.id, c.engine, &c.mounts), (&before.id, before.engine, &before.mounts));
    let mut again = c.clone();
    bounds::container(&mut again);
    assert_eq!(again, c, "it is within its bounds");
    assert!(serde_json::to_vec(&c).expect("it has string keys").len() < 8 << 20);
}

/// A database with these pages behind the first two, whose sums nobody finds by trying. The first byte says which page
/// is the root; an even one, that all pages have their own numbers.
fn database(bytes: &[u8]) -> Vec<u8> {
    let (root, pages) = bytes.split_first().unwrap_or((&0, &[]));
    let mut file = vec![0; 2 * PAGE];
    for n in 0..2 {
        let mut meta = Vec::new();
        [MAGIC, VERSION, PAGE as u32, 0].iter().for_each(|n| meta.extend(n.to_le_bytes()));
        [u64::from(root >> 1) + 2, 0, 2, 100, 7 + n].iter().for_each(|n| meta.extend(n.to_le_bytes()));
        meta.extend(fnv(&meta).to_le_bytes());
        let at = n as usize * PAGE;
        file[at + 8..at + 10].copy_from_slice(&META.to_le_bytes());
        file[at + HEADER..at + HEADER + meta.len()].copy_from_slice(&meta);
    }
    for page in pages.chunks(PAGE) {
        let (at, number) = (file.len(), file.len() / PAGE);
        file.extend(page);
        file.resize(at + PAGE, 0);
        if root & 1 == 0 {
            file[at..at + 8].copy_from_slice(&(number as u64).to_le_bytes());
        }
    }
    file
}

fn groups(text: &str) {
    for path in paths(text).chain([text]) {
        let Some(found) = Matchers::default().of_path(path) else { continue };
        assert!(path.contains(&found.full_id) && found.full_id.starts_with(&found.id) && !found.id.is_empty());
    }
    if let Some(found) = Matchers::default().of_process(text) {
        assert!(may_belong(text, &found.full_id), "a process is where it is");
    }
}

fn reference(text: &str) {
    let Image { repository, tag, digest } = Image::parse(text);
    assert!(text.starts_with(repository) && text.contains(tag) && text.ends_with(digest));
    assert!(as_id(text).is_none_or(|id| text.ends_with(id) && !id.is_empty()));
}
