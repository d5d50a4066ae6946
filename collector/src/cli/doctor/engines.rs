//! The engines: which are here, whether they know of porthole-runc, and whether what they call is there.

use super::{Finding, program};
use crate::error::Error;
use crate::install::{Engine, Named, named};
use std::path::Path;

/// Engines by the program that shows that they are installed.
const ENGINES: [(Engine, &str); 4] = [
    (Engine::Docker, "dockerd"),
    (Engine::Containerd, "containerd"),
    (Engine::Crio, "crio"),
    (Engine::Podman, "podman"),
];

pub fn look() -> Vec<Finding> {
    let one = |(engine, name): (Engine, &str)| {
        let found = named(engine, Path::new("/"));
        // one that is gone has no configuration that matters
        let is_here = program(name).is_some() || found.as_ref().is_ok_and(Option::is_some);
        is_here.then(|| judge(engine, found))
    };
    ENGINES.into_iter().filter_map(one).collect()
}

/// By what its configuration names.
fn judge(engine: Engine, found: Result<Option<Named>, Error>) -> Finding {
    let what = engine.name();
    let named = match found {
        Ok(Some(named)) => named,
        Ok(None) => {
            let advice = format!("porthole install {what} --default has every container run with it");
            return Finding::note(what, "its configuration names no porthole-runc", advice);
        }
        Err(e) => return Finding::fail(what, e.to_string(), "correct it"),
    };
    let (file, runtime, program) = (named.file.display(), &named.runtime, named.program.display());
    if !named.there {
        let advice = format!("install porthole again, or take it out: porthole uninstall {what}");
        let found = format!("{file} names {program}, which is gone: containers of runtime {runtime:?} do not start");
        return Finding::fail(what, found, advice);
    }
    if named.default {
        return Finding::ok(what, format!("runs every container with {runtime}"));
    }
    let advice = format!("porthole install {what} --default has all");
    Finding::note(what, format!("runs containers with {runtime} only where it is asked for"), advice)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn engines_are_judged_by_what_they_name() {
        let named = |there, default| Named {
            file: "/etc/x".into(),
            runtime: "porthole".into(),
            program: "/usr/bin/porthole-runc".into(),
            there,
            default,
        };
        let verdict = |found| judge(Engine::Crio, found).verdict;
        assert_eq!(verdict(Ok(Some(named(true, true)))), Verdict::Ok);
        assert_eq!([verdict(Ok(Some(named(true, false)))), verdict(Ok(None))], [Verdict::Note; 2]);
        assert_eq!([verdict(Ok(Some(named(false, true)))), verdict(Err(Error::new("x")))], [Verdict::Fail; 2]);
        let gone = judge(Engine::Podman, Ok(Some(named(false, false))));
        assert!(
            gone.found.contains("/usr/bin/porthole-runc, which is gone") && gone.advice.ends_with("uninstall podman")
        );
    }
}
