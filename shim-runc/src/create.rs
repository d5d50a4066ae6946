//! `create`, `run`, `restore`: the agent goes into the container, and the container into the registry.

use crate::elf::Target;
use crate::plan::dev::Root;
use crate::plan::{self, Plan, Share, preload};
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::{elf, engine, overlay};
use porthole_common::limits::OVERFLOW_RING;
use porthole_registration::container::{Container, Inject, Injection, Namespace, Shortfall};
use porthole_registration::layout::{ContainerDir, MOUNT_ROOT};
use porthole_registration::registry::{self, Claim};
use porthole_registration::share::{self, Agent, View, Walkers};
use porthole_registration::sites::Depth;
use porthole_registration::undo::{CONFIG_LIMIT, undo_config, without_edits};
use porthole_registration::{edits, file, life, preload_file};
use serde_json::Value;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

/// What a call is about.
#[derive(Debug)]
pub struct Request<'a> {
    /// `create`, `run` or `restore`.
    pub verb: &'static str,
    /// Container id.
    pub id: &'a str,
    /// `--bundle`.
    pub bundle: Option<&'a Path>,
    /// `--root`, absolute, or the runtime's default.
    pub runtime_root: &'a Path,
    /// The runtime that will make the container.
    pub runtime: &'a Runtime,
}

/// Prepares everything. What goes wrong is undone; the messages say what the container starts without.
pub fn prepare(request: &Request<'_>, settings: &Settings) -> Vec<String> {
    let bundle = match fs::canonicalize(request.bundle.unwrap_or(Path::new("."))) {
        Ok(bundle) => bundle,
        // The runtime will say so itself.
        Err(_) => return Vec::new(),
    };
    let config = bundle.join("config.json");
    let bytes = match file::read(&config, CONFIG_LIMIT) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return vec![format!("container {} is not instrumented: {e}", request.id)],
    };
    let Ok((bytes, spec)) = pristine(bytes) else { return Vec::new() };
    if !plan::is_sound(&spec) {
        return Vec::new();
    }
    let Some(dir) = ContainerDir::new(&settings.state_dir, request.id) else {
        return vec![format!("container {:?} is not instrumented: no runtime takes this id", request.id)];
    };
    registry::prune(&settings.state_dir);
    let claim = match registry::claim(&settings.state_dir, dir) {
        Ok(claim) => claim,
        Err(e) => return vec![format!("container {} is not instrumented: {e}", request.id)],
    };
    register(request, settings, &claim, Bundle { path: bundle, config, bytes, spec }).unwrap_or_else(|mut messages| {
        messages.extend(claim.abandon().err().map(|e| e.to_string()));
        messages
    })
}

struct Bundle {
    path: PathBuf,
    config: PathBuf,
    /// config.json without porthole.
    bytes: Vec<u8>,
    spec: Value,
}

/// `Err`: nothing is registered, the bundle is as it was.
fn register(
    request: &Request<'_>,
    settings: &Settings,
    claim: &Claim,
    bundle: Bundle,
) -> Result<Vec<String>, Vec<String>> {
    let (mut container, target) = describe(request, &bundle);
    container.depth = settings.depth;
    let mut messages = Vec::new();
    let config = bundle.config.clone();
    match inject(settings, claim.dir(), bundle, &container, target, &mut messages) {
        Ok(done) => {
            if done.mount_point == MOUNT_ROOT && root(&container.rootfs) == Root::Free {
                container.mount_point_made = format!("{}{MOUNT_ROOT}", container.rootfs);
            }
            container.injection = Injection::Preload { library: done.library, inject: done.inject };
            container.preload_file_made = done.preload_file_made;
            let less =
                |s: &Shortfall| format!("container {}: {}: {}", request.id, s.reason.replace('_', " "), s.detail);
            messages.extend(done.shortfalls.iter().map(less));
            container.shortfalls = done.shortfalls;
        }
        Err(reason) => {
            messages.push(format!("container {} is not instrumented: {reason}", request.id));
            // If this fails, publishing will, and say so.
            let _ = share::remove(claim.dir()).and_then(|()| share::make_empty(claim.dir()));
            container.injection = Injection::None { reason };
        }
    }
    if let Err(e) = claim.publish(&container) {
        if matches!(container.injection, Injection::Preload { .. }) {
            messages.push(format!("container {} is not instrumented: {e}", request.id));
        }
        messages.extend(undo_config(claim.dir(), &config).err().map(|e| e.to_string()));
        return Err(messages);
    }
    Ok(messages)
}

/// Whether a container that joins this namespace has none of its own: docker and Kubernetes' interface name the host's
/// by a path of another process or of their own.
fn is_ours(namespace: &Namespace) -> bool {
    let name = match namespace.r#type.as_str() {
        "network" => "net",
        "mount" => "mnt",
        name => name,
    };
    let inode = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let theirs = Some(namespace.path.as_str()).filter(|path| !path.is_empty()).and_then(|path| inode(Path::new(path)));
    theirs.is_some() && theirs == inode(&Path::new("/proc/self/ns").join(name))
}

fn describe(request: &Request<'_>, bundle: &Bundle) -> (Container, Target) {
    let mut container = engine::describe(request.id, &bundle.path.to_string_lossy(), &bundle.spec);
    container.namespaces.retain(|namespace| !is_ours(namespace));
    let rootfs = bundle.path.join(bundle.spec.pointer("/root/path").and_then(Value::as_str).unwrap_or_default());
    let rootfs = fs::canonicalize(&rootfs).unwrap_or(rootfs);
    let env = bundle.spec.get("process").into_iter().flat_map(engine::environment);
    let target = elf::target(&rootfs, &container.mounts, &container.process, env);
    container.process.target = target.name.into();
    container.overlay = overlay::at(&rootfs);
    container.rootfs = rootfs.to_string_lossy().into_owned();
    porthole_identity::complete(&mut container);
    container.created_ns = registry::now_ns();
    container.runtime = request.runtime.path.to_string_lossy().into_owned();
    container.runtime_root = request.runtime_root.to_string_lossy().into_owned();
    container.verb = request.verb.into();
    // This process becomes the runtime.
    container.runtime_pid = std::process::id();
    container.runtime_start = life::start_time(container.runtime_pid);
    (container, target)
}

/// What was done.
struct Injected {
    library: String,
    mount_point: &'static str,
    inject: Inject,
    preload_file_made: bool,
    shortfalls: Vec<Shortfall>,
}

/// Makes the share and edits the bundle. On failure the bundle is untouched; the share may be there in part.
fn inject(
    settings: &Settings,
    dir: &ContainerDir,
    bundle: Bundle,
    container: &Container,
    target: Target,
    messages: &mut Vec<String>,
) -> Result<Injected, String> {
    let mut shortfalls = Vec::new();
    let mut lacks = |reason: &str, detail: String| shortfalls.push(Shortfall { reason: reason.into(), detail });
    let (inject, list) = match list_of_image(settings.inject, &bundle.spec, container) {
        Ok(found) => found.map_or((Inject::Env, None), |found| (settings.inject, Some(found))),
        Err(reason) => {
            lacks("env_only", reason);
            (Inject::Env, None)
        }
    };
    let (mnt, rings) = (dir.mnt(), dir.rings());
    let share = Share { mnt: &mnt, rings: &rings, inject };
    let plan = plan::plan(bundle.spec, share, target, || root(&container.rootfs));
    let (spec, mount_point, library) = match plan {
        Plan::Inject { spec, mount_point, library } => (spec, mount_point, library),
        Plan::Leave(reason) => return Err(reason),
    };
    let written = serde_json::to_vec(&spec).map_err(|e| e.to_string())?;
    let agent = Agent::load(&settings.agent()).map_err(|e| e.to_string())?;
    let agent = agent.with_sites_kept(Path::new(&container.rootfs), &settings.state_dir, settings.depth);
    let agent = agent.entering_by(inject);
    if let Some(reason) = agent.shallow().filter(|_| settings.depth == Depth::Sites) {
        lacks("symbols_only", reason.into());
    }
    let label = spec.pointer("/linux/mountLabel").and_then(Value::as_str).unwrap_or_default();
    let unbounded = share::make(dir, &agent, container.memory_limit, View::Container { label });
    let unbounded = unbounded.map_err(|e| e.to_string())?;
    if let Some(walkers) = walkers(&spec) {
        share::let_through(dir, walkers).map_err(|e| e.to_string())?;
    }
    if let Some((uid, gid)) = root_of_user_namespace(&spec) {
        let overflow = dir.rings().join(OVERFLOW_RING);
        chown(&overflow, Some(uid), Some(gid))
            .map_err(|e| format!("cannot change the owner of the overflow ring: {e}"))?;
    }
    messages.extend(unbounded.map(|e| format!("the records of container {} are not bounded: {e}", container.id)));
    let preload_file_made = list.as_ref().is_some_and(|list| list.missing);
    if let Some(list) = list {
        let bytes = preload_file::merged(list.list, &library);
        file::publish(&dir.preload_file(), &bytes, 0o644).map_err(|e| e.to_string())?;
    }
    file::publish(&dir.config_original(), &bundle.bytes, 0o600).map_err(|e| e.to_string())?;
    file::publish(&dir.config_written(), &written, 0o600).map_err(|e| e.to_string())?;
    file::replace(&bundle.config, &written).map_err(|e| e.to_string())?;
    Ok(Injected { library, mount_point, inject, preload_file_made, shortfalls })
}

/// The image's own list for the loader, where ours is to be mounted over it.
fn list_of_image(inject: Inject, spec: &Value, container: &Container) -> Result<Option<preload_file::Found>, String> {
    if !inject.by_file() {
        return Ok(None);
    }
    preload::obstacle(spec).map_or(Ok(()), Err)?;
    let (users, groups) = (preload::ranges(spec, "/linux/uidMappings"), preload::ranges(spec, "/linux/gidMappings"));
    let mapped = users.as_deref().zip(groups.as_deref());
    preload_file::look(Path::new(&container.rootfs), mapped).map(Some)
}

/// Who the container's root is on the host, if the spec maps it to someone else.
fn root_of_user_namespace(spec: &Value) -> Option<(u32, u32)> {
    let host = |mappings: &str| {
        let of_root = |m: &&Value| m.get("containerID").and_then(Value::as_u64) == Some(0);
        let mapping = spec.pointer(mappings)?.as_array()?.iter().find(of_root)?;
        u32::try_from(mapping.get("hostID")?.as_u64()?).ok()
    };
    Some((host("/linux/uidMappings")?, host("/linux/gidMappings")?))
}

/// Who mounts the share, if the container has a user namespace: its root, where the spec tells who that is.
fn walkers(spec: &Value) -> Option<Walkers> {
    let of_users = |ns: &Value| ns.get("type").and_then(Value::as_str) == Some("user");
    let known = root_of_user_namespace(spec).map(|(_, gid)| Walkers::Group(gid));
    known.or_else(|| spec.pointer("/linux/namespaces")?.as_array()?.iter().any(of_users).then_some(Walkers::All))
}

/// A config.json without the edits of earlier containers made from the same bundle: its original bytes where the
/// registration still has them.
fn pristine(mut bytes: Vec<u8>) -> serde_json::Result<(Vec<u8>, Value)> {
    let mut spec: Value = serde_json::from_slice(&bytes)?;
    for share in edits::shares(&spec) {
        let kept = share.parent().and_then(|dir| {
            let written = file::read(&dir.join("config.written"), CONFIG_LIMIT).ok()?;
            (written == bytes).then(|| file::read(&dir.join("config.original"), CONFIG_LIMIT).ok())?
        });
        if let Some(before) = kept.or_else(|| without_edits(&bytes, &share)) {
            spec = serde_json::from_slice(&before)?;
            bytes = before;
        }
    }
    Ok((bytes, spec))
}

/// What is at the place for the share in a root file system.
fn root(rootfs: &str) -> Root {
    let place = format!("{rootfs}{MOUNT_ROOT}");
    match fs::symlink_metadata(&place) {
        Ok(meta) if meta.is_dir() && fs::read_dir(&place).is_ok_and(|mut dir| dir.next().is_none()) => {
            Root::EmptyDirectory
        }
        Ok(_) => Root::Taken,
        Err(_) => match nix::unistd::access(rootfs, nix::unistd::AccessFlags::W_OK) {
            Ok(()) => Root::Free,
            Err(_) => Root::ReadOnly,
        },
    }
}
