//! porthole-runc: see the library.
//!
//! Rust's own start-up would change what the runtime inherits (it ignores SIGPIPE and opens /dev/null for closed
//! descriptors), so this is C's `main`.
#![no_main]
#![allow(unsafe_code)]

use nix::sys::resource::{Resource, getrlimit};
use porthole_registration::layout::ContainerDir;
use porthole_shim_runc::args::{self, Call, Global, Parsed};
use porthole_shim_runc::runtime::{self, CALLED_ENV, MARK, Runtime};
use porthole_shim_runc::settings::Settings;
use porthole_shim_runc::{create, delete, exec, log, lxc};
use std::ffi::{OsString, c_char, c_int};
use std::path::PathBuf;

/// No file that is written here is larger in practice.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;

/// An ELF note, because notes are in a program's first page: this is how a copy of this program is recognised.
#[repr(C, align(4))]
struct Note {
    name_len: u32,
    description_len: u32,
    kind: u32,
    name: [u8; 12],
    description: [u8; MARK.len()],
}

#[used]
// SAFETY: a note section of a name of our own; nothing reads it but `runtime::find`.
#[unsafe(link_section = ".note.porthole")]
static NOTE: Note =
    Note { name_len: 9, description_len: MARK.len() as u32, kind: 1, name: *b"porthole\0\0\0\0", description: MARK };

// SAFETY: the one `main` that the C start-up calls; the standard library has taken the arguments before.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(hook) = lxc::Hook::of(words.get(1..).unwrap_or_default(), |name| std::env::var_os(name)) {
        let settings = Settings::load(|name| std::env::var_os(name).map(PathBuf::from));
        if let Err(reason) = lxc::run(&hook, &settings) {
            eprintln!("porthole-runc: container {} is not instrumented: {reason}", hook.name);
        }
        // a hook that fails would keep the container from starting
        return 0;
    }
    let Parsed { global, call, unclear } = args::parse(words.get(1..).unwrap_or_default());
    let settings = Settings::load(|name| std::env::var_os(name).map(PathBuf::from));
    let called = std::env::var_os(CALLED_ENV).is_some();
    let runtime = match runtime::find(&settings, called) {
        Ok(runtime) => runtime,
        Err(message) => {
            log::error(&global, &message);
            return 1;
        }
    };
    if called {
        // SAFETY: this process has one thread.
        unsafe { std::env::remove_var(CALLED_ENV) };
    } else if runtime.script {
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var(CALLED_ENV, "1") };
    }
    match call {
        Some(call) if !called => {
            start_anyway_if_this_panics(&runtime, &words, &global);
            let complaint = settings.complaint.clone();
            for message in complaint.into_iter().chain(prepare(&call, &global, &settings, &runtime)) {
                log::warning(&global, &message);
            }
        }
        None if unclear => {
            log::warning(&global, "these options are not understood, the call goes to the runtime as it is");
        }
        _ => {}
    }
    let Err(message) = runtime::become_it(&runtime, &words);
    log::error(&global, &message);
    1
}

fn prepare(call: &Call, global: &Global, settings: &Settings, runtime: &Runtime) -> Vec<String> {
    // A file beyond the limit would not be an error but a signal, and the end of the runtime.
    if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft < LARGEST_FILE) {
        return vec!["files may not become large enough (RLIMIT_FSIZE), the call goes to the runtime as it is".into()];
    }
    let root = global.root.clone().filter(|root| !root.as_os_str().is_empty());
    let root = root.unwrap_or_else(|| runtime.default_root());
    let root = std::path::absolute(&root).unwrap_or(root);
    let dir = |id: &str| ContainerDir::new(&settings.state_dir, id);
    match call {
        Call::Create { verb, id, bundle } => create::prepare(
            &create::Request { verb, id, bundle: bundle.as_deref(), runtime_root: &root, runtime },
            settings,
        ),
        Call::Exec { id, what } => dir(id).map_or_else(Vec::new, |dir| exec::prepare(&dir, &root, what)),
        Call::Freeze { verb, id } => dir(id).map_or_else(Vec::new, |dir| exec::freeze(&dir, &root, verb)),
        Call::Delete { id, force } => {
            dir(id).map_or_else(Vec::new, |dir| delete::prepare(&dir, &settings.state_dir, &root, id, *force))
        }
    }
}

/// A mistake in porthole must not keep a container from starting.
fn start_anyway_if_this_panics(runtime: &Runtime, words: &[OsString], global: &Global) {
    let (runtime, words, global) = (runtime.clone(), words.to_vec(), global.clone());
    std::panic::set_hook(Box::new(move |mistake| {
        log::warning(&global, &format!("a mistake in porthole-runc, please report it: {mistake}"));
        let Err(_) = runtime::become_it(&runtime, &words);
    }));
}
