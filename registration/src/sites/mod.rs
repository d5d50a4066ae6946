//! Depth `sites`: finds the system call instructions of a root file system's C library, for the agent to patch.
//!
//! The contract is [`porthole_common::sites`]. What is not understood is left out, and what is left out costs depth,
//! never correctness: the agent's hooks tell what the table does not cover.

mod cache;
mod cancellable;
mod elf;
mod sweep;

use crate::file;
use cache::Cache;
use elf::Object;
use porthole_common::sites::{BUILD_ID, OBJECTS, SITES, coverage};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use sweep::{Call, Sweep};

/// How deep the agent looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Down to the system calls of the C library, where it is understood; else the names.
    #[default]
    Auto,
    /// The names of functions that programs call, and nothing is patched.
    Symbols,
    /// As `Auto`, but where it has to be the names that is told, and why.
    Sites,
}

/// Larger files are no C library.
const LIMIT: u64 = 16 * 1024 * 1024;
/// Sites that an agent has stubs for, over all objects.
const STUBS: usize = 40;
/// System calls that execute: execve, execveat.
const EXECS: [u32; 2] = [59, 322];
/// Functions whose hook tells, also where sites are patched.
const TOLD_BY_NAME: [&str; 2] = ["execveat", "fexecve"];
/// Functions whose system calls the table is about.
const WATCHED: [&str; 8] = ["open", "open64", "openat", "openat64", "creat", "creat64", "connect", "execve"];
/// Symbols of these names at most, with all their versions: each is compared with every system call.
const VERSIONS: usize = 64;
/// Where distributions put libraries.
const DIRECTORIES: [&str; 6] =
    ["lib/x86_64-linux-gnu", "lib64", "usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "lib"];
/// The C library first: without it the others are of no use.
const NAMES: [&str; 3] = ["libc.so.6", "ld-linux-x86-64.so.2", "libpthread.so.0"];

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    build_id: [u8; BUILD_ID],
    coverage: u32,
    /// It has the functions that `coverage` is about.
    opens: bool,
    connects: bool,
    executes: bool,
    sites: Vec<u32>,
}

/// The encoded table for the programs of a root file system. What is found is kept below the state directory `state`.
///
/// # Errors
/// Why there is none: its C library is not there, or not understood.
pub fn table(root: &Path, state: &Path) -> Result<Vec<u8>, &'static str> {
    let cache = Cache::below(state);
    let mut objects: Vec<Found> = Vec::new();
    let mut there = false;
    for name in NAMES {
        for directory in DIRECTORIES {
            let Some(file) = file::open_within(root, &format!("{directory}/{name}")) else { continue };
            there |= name == NAMES[0];
            let Some(found) = look(file, cache.as_ref()) else { continue };
            if objects.iter().all(|o| o.build_id != found.build_id) {
                objects.push(found);
            }
        }
    }
    encode(select(objects)).ok_or(match there {
        true => "the system calls of its C library are not where porthole knows to look for them",
        false => "there is no glibc for x86-64 in its root file system",
    })
}

fn look(file: File, cache: Option<&Cache>) -> Option<Found> {
    if file.metadata().ok()?.len() > LIMIT {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).ok()?;
    match cache {
        Some(cache) => cache.get(&bytes, analyze),
        None => analyze(&bytes),
    }
}

fn analyze(bytes: &[u8]) -> Option<Found> {
    let object = Object::parse(bytes)?;
    let build_id = object.build_id()?;
    let functions = object.functions()?;
    let code = object.code()?;
    let sweep = Sweep::over(code, functions.iter().map(|f| f.at))?;
    let executes = functions.iter().any(|f| f.name == "execve");
    let named = |names: &[&str]| functions.iter().filter(|f| names.contains(&f.name)).collect::<Vec<_>>();
    let asides = named(&TOLD_BY_NAME);
    if named(&WATCHED).len() > VERSIONS || asides.len() > VERSIONS {
        return None;
    }
    // Each page that is patched costs. What the library does not call itself is told by its hook, and the loader
    // executes only as a command.
    let left_out = |call: &Call| {
        let aside = asides.iter().any(|f| f.contains(call.at));
        aside || !executes && call.number.is_some_and(|n| EXECS.contains(&n))
    };
    let cancellable = cancellable::calls(code, &sweep.nears, &functions);
    let calls: Vec<Call> = sweep.calls.into_iter().chain(cancellable).filter(|call| !left_out(call)).collect();
    let sites = calls.iter().filter_map(|call| call.site);
    let sites: Vec<u32> = sites.map(u32::try_from).collect::<Result<_, _>>().ok()?;
    if sites.is_empty() || sites.len() > SITES {
        return None;
    }
    // Those that must have a site of their own; the others may call one of these.
    let covered = |main: &[&str], others: &[&str]| {
        let (main, others) = (named(main), named(others));
        let all_sites = |f: &&elf::Function| calls.iter().filter(|call| f.contains(call.at)).all(Call::is_harmless);
        let has_one = |f: &&elf::Function| calls.iter().any(|call| f.contains(call.at) && call.site.is_some());
        let whole = !main.is_empty() && main.iter().all(has_one) && main.iter().chain(&others).all(all_sites);
        (!main.is_empty(), whole)
    };
    let (opens, open) = covered(&["open", "open64", "openat", "openat64"], &["creat", "creat64"]);
    let (connects, connect) = covered(&["connect"], &[]);
    let (_, exec) = covered(&["execve"], &[]);
    // What opens inside may call `open`, too.
    let inside = open && calls.iter().all(|call| call.number.is_none() || call.is_harmless());
    let flag = |set: bool, bit: u32| if set { bit } else { 0 };
    let coverage = flag(open, coverage::OPEN)
        | flag(connect, coverage::CONNECT)
        | flag(exec, coverage::EXEC)
        | flag(inside, coverage::INSIDE);
    Some(Found { build_id, coverage, opens, connects, executes, sites })
}

/// The objects that may be patched together.
fn select(objects: Vec<Found>) -> Vec<Found> {
    const LEAST: u32 = coverage::EXEC | coverage::INSIDE;
    let (libraries, mut others): (Vec<_>, Vec<_>) = objects.into_iter().partition(|o| o.executes);
    let mut libraries: Vec<Found> = libraries.into_iter().filter(|o| o.coverage & LEAST == LEAST).collect();
    if libraries.is_empty() {
        return libraries;
    }
    for other in &mut others {
        // A thread library has its own open and connect, which a program may get instead of the C library's.
        let lacks = [(other.opens, coverage::OPEN), (other.connects, coverage::CONNECT)];
        for (_, bit) in lacks.iter().filter(|(has, bit)| *has && other.coverage & bit == 0) {
            libraries.iter_mut().for_each(|library| library.coverage &= !bit);
        }
        other.coverage = 0;
    }
    libraries.append(&mut others);
    let mut used = 0;
    libraries.retain(|object| {
        used += object.sites.len();
        used <= STUBS
    });
    libraries.truncate(OBJECTS);
    libraries
}

fn encode(objects: Vec<Found>) -> Option<Vec<u8>> {
    if objects.is_empty() {
        return None;
    }
    let mut table = (objects.len() as u32).to_le_bytes().to_vec();
    for object in objects {
        table.extend(object.build_id);
        table.extend(object.coverage.to_le_bytes());
        table.extend((object.sites.len() as u32).to_le_bytes());
        table.extend(object.sites.iter().flat_map(|at| at.to_le_bytes()));
    }
    Some(table)
}

/// What `fuzz/` asks of any file.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some(found) = analyze(bytes) else { return };
    if let Some(code) = Object::parse(bytes).and_then(|object| object.code()) {
        crate::fuzzing::check_sites(code.at, code.bytes, &found.sites);
    }
    if let Some(table) = encode(select(vec![found.clone(), found])) {
        crate::fuzzing::check_table(&table);
    }
}

#[cfg(test)]
mod tests;
