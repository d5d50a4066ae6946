//! The last events of each container, and the alerts whose processes may still start others.

use super::story::{Child, Id};
use crate::event::{Event, Process};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Events that are kept of a container: those of an alert's processes are looked for among them.
const EACH: usize = 64;
/// Containers that are remembered.
const CONTAINERS: usize = 256;
/// Alerts that are watched for children at a time, each for so long.
const WATCHED: usize = 64;
const WATCH: u64 = Duration::from_secs(60).as_nanos() as u64;

/// See the module.
#[derive(Debug)]
pub(super) struct Recent {
    /// Records that an alert's story begins with.
    records: usize,
    containers: HashMap<Arc<str>, VecDeque<Arc<Event>>>,
    /// Which container has been seen first: the next to be forgotten.
    order: VecDeque<Arc<str>>,
    watched: VecDeque<Watched>,
}

/// An alert's process.
#[derive(Debug)]
struct Watched {
    id: Id,
    container: Arc<str>,
    process: Arc<Process>,
    until_ns: u64,
}

impl Recent {
    pub fn new(records: usize) -> Recent {
        Recent {
            records: records.min(EACH),
            containers: HashMap::new(),
            order: VecDeque::new(),
            watched: VecDeque::new(),
        }
    }

    /// Remembers an event. If it starts a program below an alert's process: which alert's, and what.
    pub fn note(&mut self, event: &Arc<Event>) -> Option<(Id, Child)> {
        let container = &event.container.full_id;
        if !self.containers.contains_key(container) {
            self.welcome(container.clone());
        }
        let events = self.containers.get_mut(container)?;
        if events.len() == EACH {
            events.pop_front();
        }
        events.push_back(event.clone());
        self.child(event)
    }

    fn welcome(&mut self, container: Arc<str>) {
        if self.order.len() == CONTAINERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.containers.remove(&oldest);
        }
        self.order.push_back(container.clone());
        self.containers.insert(container, VecDeque::with_capacity(EACH));
    }

    fn child(&mut self, event: &Event) -> Option<(Id, Child)> {
        if self.watched.is_empty() || !matches!(event.evt_type, "execve" | "execveat") || event.rawres != Some(0) {
            return None;
        }
        while self.watched.front().is_some_and(|w| w.until_ns < event.time_ns) {
            self.watched.pop_front();
        }
        let process = event.process.as_ref()?;
        // the youngest alert is the nearest
        let of = self.watched.iter().rev().find(|w| {
            w.container == event.container.full_id && process.ancestors().any(|ancestor| same(ancestor, &w.process))
        })?;
        Some((of.id, Child { time_ns: event.time_ns, process: process.clone() }))
    }

    /// What was before an alert's event: first of all what its own processes did, oldest first. Watches its process.
    pub fn story(&mut self, id: Id, event: &Arc<Event>) -> Vec<Arc<Event>> {
        let events = self.containers.get(&event.container.full_id);
        let all: Vec<&Arc<Event>> = events.into_iter().flatten().collect();
        let own = |e: &&&Arc<Event>| event.process.as_ref().is_none_or(|p| related(p, e.process.as_deref()));
        let mut chosen: Vec<&Arc<Event>> = all.iter().rev().filter(own).take(self.records).copied().collect();
        let others = all.iter().rev().filter(|e| !own(e)).take(self.records - chosen.len());
        chosen.extend(others.copied());
        chosen.sort_by_key(|e| (e.time_ns, e.num));
        if let Some(process) = &event.process {
            if self.watched.len() == WATCHED {
                self.watched.pop_front();
            }
            let (container, process) = (event.container.full_id.clone(), process.clone());
            self.watched.push_back(Watched { id, container, process, until_ns: event.time_ns + WATCH });
        }
        chosen.into_iter().cloned().collect()
    }
}

/// Whether two snapshots are of one process, in one container.
fn same(a: &Process, b: &Process) -> bool {
    match (a.pid, b.pid) {
        (Some(a), Some(b)) => a == b,
        _ => a.vpid.is_some() && a.vpid == b.vpid,
    }
}

/// Whether one is the other, or descends from it.
fn related(a: &Process, b: Option<&Process>) -> bool {
    b.is_some_and(|b| same(a, b) || a.ancestors().any(|p| same(p, b)) || b.ancestors().any(|p| same(a, p)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::sample;

    fn process(pid: u32, parent: Option<&Arc<Process>>) -> Arc<Process> {
        Arc::new(Process { pid: Some(pid), parent: parent.cloned(), ..Process::default() })
    }

    fn event(num: u64, process: &Arc<Process>) -> Arc<Event> {
        Arc::new(Event { num, time_ns: num, process: Some(process.clone()), ..sample() })
    }

    fn exec(num: u64, process: &Arc<Process>) -> Arc<Event> {
        Arc::new(Event { evt_type: "execve", rawres: Some(0), ..Event::clone(&event(num, process)) })
    }

    fn numbers(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|e| e.num).collect()
    }

    #[test]
    fn the_process_tree_comes_first_and_the_container_fills_up() {
        let mut recent = Recent::new(3);
        let shell = process(1, None);
        let (own, sibling) = (process(2, Some(&shell)), process(3, Some(&shell)));
        for (num, process) in [(1, &own), (2, &shell), (3, &sibling), (4, &sibling)] {
            recent.note(&event(num, process));
        }
        assert_eq!(numbers(&recent.story(Id(1), &event(5, &own))), [1, 2, 4]);
        (5..500).for_each(|n| drop(recent.note(&event(n, &sibling))));
        assert_eq!(numbers(&recent.story(Id(1), &event(500, &own))), [497, 498, 499], "what is gone is gone");
    }

    #[test]
    fn containers_are_apart_and_bounded() {
        let mut recent = Recent::new(3);
        let of = |n: usize| {
            let mut event = sample();
            Arc::make_mut(&mut event.container).full_id = n.to_string().into();
            Arc::new(event)
        };
        (0..1000).for_each(|n| drop(recent.note(&of(n))));
        assert_eq!((recent.containers.len(), recent.order.len()), (CONTAINERS, CONTAINERS));
        assert_eq!(recent.story(Id(1), &of(999)).len(), 1);
        assert!(recent.story(Id(1), &of(0)).is_empty());
    }

    #[test]
    fn what_an_alerts_process_starts_is_told_for_a_while() {
        let mut recent = Recent::new(3);
        let parent = process(1, None);
        recent.story(Id(7), &event(1, &parent));
        let child = process(2, Some(&parent));
        assert!(recent.note(&event(2, &child)).is_none(), "no program");
        assert_eq!(recent.note(&exec(3, &process(3, Some(&child)))).map(|(id, _)| id), Some(Id(7)));
        assert!(recent.note(&exec(4, &process(4, None))).is_none(), "of another tree");
        assert!(recent.note(&exec(2 + WATCH, &child)).is_none(), "too late");
    }
}
