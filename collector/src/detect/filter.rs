//! A condition of a command's `--filter`: the same language, over the same fields, as rules.

use super::fields::{Fields, Memo, Subject};
use super::flat::Flat;
use crate::clock::now_ns;
use crate::event::{ContainerInfo, Event, Identity, Source};
use crate::loss::lock;
use porthole_rules::parse;
use porthole_rules::problem::caret;
use porthole_rules::program::{NodeId, Program, Scratch};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A condition that is compiled.
pub struct Filter {
    fields: Fields,
    program: Program,
    node: NodeId,
    /// What judging needs from one event to the next.
    work: Mutex<(Memo, Scratch)>,
}

impl Filter {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with it, and the place, a caret below it.
    pub fn new(condition: &str) -> Result<Filter, String> {
        let fields = Fields::new(&BTreeMap::new());
        let wrong = |what: String, at| format!("{what}\n{}", caret(condition, at));
        let expr = parse::condition(condition).map_err(|e| wrong(e.what, e.at))?;
        let mut program = Program::default();
        let node = program.add(&expr, &fields.vocabulary, &mut vec![]).map_err(|e| wrong(e.what, e.at))?;
        let work = Mutex::new((Memo::new(&fields), Scratch::default()));
        Ok(Filter { fields, program, node, work })
    }

    /// Whether it is true for an event.
    pub fn holds(&self, event: &Event) -> bool {
        let (memo, scratch) = &mut *lock(&self.work);
        scratch.next();
        self.program.judge(self.node, &Subject::new(event, &self.fields, memo), scratch)
    }
}

impl Filter {
    /// Whether it is true for a container by itself: nothing has happened there, and no process is asked about.
    pub fn holds_for_container(&self, container: &Arc<ContainerInfo>) -> bool {
        self.holds(&Event {
            num: 0,
            time_ns: now_ns(),
            evt_type: "",
            rawres: None,
            fields: vec![],
            process: None,
            container: container.clone(),
            source: Source::Runtime,
            identity: Identity::Verified,
            session: "".into(),
            seq: None,
        })
    }

    /// Whether it is true for objects with Falco's names; the first that has a field counts.
    pub fn holds_for(&self, objects: &[&Map<String, Json>]) -> bool {
        let (_, scratch) = &mut *lock(&self.work);
        scratch.next();
        let flat = Flat { objects: objects.to_vec(), fields: &self.fields };
        self.program.judge(self.node, &flat, scratch)
    }
}

/// For the command line: the condition as it was written, if it is one.
///
/// # Errors
/// See [`Filter::new`].
pub fn checked(condition: &str) -> Result<String, String> {
    Filter::new(condition).map(|_| condition.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::sample;

    #[test]
    fn a_filter_is_a_condition_of_the_same_language() {
        let holds = |condition: &str| Filter::new(condition).map(|f| f.holds(&sample()));
        assert_eq!(holds("evt.type in (open, openat) and proc.name startswith c"), Ok(true));
        assert_eq!(holds("container.name = web and not proc.pname = sh"), Ok(false));
        assert_eq!(holds("porthole.source = symbols and ns.mnt > 0 and evt.failed = true"), Ok(true));
    }

    #[test]
    fn what_is_no_event_any_more_is_judged_by_its_names() {
        let event = sample().to_json();
        let more = serde_json::json!({ "proc.aname[2]": "runc", "fd.rip": "10.0.0.1" });
        let holds = |condition: &str| Filter::new(condition).unwrap().holds_for(&[&event, more.as_object().unwrap()]);
        assert!(holds("proc.name = cat and fd.num < 0 and evt.arg.name contains pass"));
        assert!(holds("proc.aname[2] = runc and fd.rip = 10.0.0.1") && !holds("proc.aname[3] exists"));
    }

    #[test]
    fn containers_are_judged_by_all_that_is_known_of_them() {
        let container = sample().container;
        let holds = |condition: &str| Filter::new(condition).unwrap().holds_for_container(&container);
        assert!(holds("container.name = web and container.image startswith nginx and not proc.name exists"));
        assert!(!holds("container.name in (db, cache)") && !holds("container.privileged = true"));
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        let error = Filter::new("evt.type = openat and proc.nme = x").err().unwrap();
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].contains("proc.name"), "{error}");
        let caret = lines[2].find('^').unwrap();
        assert!(lines[1][caret..].starts_with("proc.nme"), "{error}");
        assert!(Filter::new("a_macro and evt.type = openat").err().unwrap().contains("macro"));
    }
}
