//! Who is there now: the containers of this machine with their processes, those included that never came through
//! porthole-runc.
//!
//! Read from /proc when people ask, by the thread that answers them: no engine is asked, and ingest does not notice. To
//! which container a process belongs the kernel says (control group, pid namespace, descent); its name and arguments
//! are its own words.

mod others;
mod processes;

use crate::container::{self, Container};
use crate::ingest::facts;
use crate::ingest::users::Users;
use crate::status::{ContainerView, ProcessView, TreeView};
use others::Others;
use porthole_identity::cgroup::{Match, Matchers};
use porthole_registration::life;
use processes::Process;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Most processes of one container that are described.
const MAX_SHOWN: usize = 4096;
/// Generations between a process and the first one of its container.
const MAX_DEPTH: usize = 256;

/// Takes the census, and remembers who the containers are that nobody registered.
pub(crate) struct Census {
    others: Others,
}

/// Whose a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// The container with this place in the list.
    Registered(usize),
    /// One that nobody has registered.
    Other(Match),
}

impl Census {
    /// `since_ns`: when porthole came to this machine.
    pub fn new(since_ns: u64) -> Census {
        Census { others: Others::new(since_ns) }
    }

    /// The containers in the order of `registered`, then the others, oldest first. `described`: with their processes.
    pub fn take(&self, registered: &[Arc<Container>], described: bool) -> Vec<TreeView> {
        let processes = processes::all();
        let owners = owners(registered, &processes);
        let mut own: Vec<Vec<&Process>> = vec![vec![]; registered.len()];
        let mut others: BTreeMap<String, (Match, Vec<&Process>)> = BTreeMap::new();
        for process in &processes {
            match owners.get(&process.pid) {
                Some(Owner::Registered(n)) => own[*n].push(process),
                Some(Owner::Other(m)) => {
                    others.entry(m.full_id.clone()).or_insert_with(|| (m.clone(), vec![])).1.push(process);
                }
                None => {}
            }
        }
        let mut all: Vec<TreeView> =
            registered.iter().zip(own).map(|(c, members)| tree(c.view(), &members, described)).collect();
        let strangers = self.others.identify(others.values(), registered);
        let mut strangers: Vec<TreeView> =
            strangers.into_iter().map(|(view, members)| tree(view, members, described)).collect();
        strangers.sort_by_key(|t| t.container.created_ns);
        all.append(&mut strangers);
        all
    }
}

/// To which container the processes belong; those of the host are missing.
fn owners(registered: &[Arc<Container>], processes: &[Process]) -> HashMap<u32, Owner> {
    let alive = || registered.iter().enumerate().filter(|(_, c)| !c.deleted.load(Relaxed));
    let by_id: HashMap<&str, usize> =
        alive().filter(|(_, c)| !c.is_host()).map(|(n, c)| (&*c.registration.id, n)).collect();
    let host_ns = facts::pid_namespace(std::process::id());
    let (mut by_ns, mut seeds) = (HashMap::new(), HashMap::new());
    for (n, c) in alive() {
        let r = &c.registration;
        let first = if c.is_host() { Some(r.runtime_pid) } else { first_process(r) };
        let Some(first) = first else { continue };
        seeds.insert(first, n);
        // one that it shares with the host, or with an older container, tells nothing
        if let Some(ns) = facts::pid_namespace(first).filter(|ns| Some(*ns) != host_ns) {
            by_ns.entry(ns).or_insert(n);
        }
    }
    // What this process is in is where it looks from, and no container that it looks at.
    let matchers = Matchers { without: container::engines().without.clone(), fixed: None };
    let mine = matchers.of_process(&processes::groups(std::process::id()));
    let parents: HashMap<u32, u32> = processes.iter().map(|p| (p.pid, p.stat.ppid)).collect();
    let descent = |pid: u32| {
        let line = std::iter::successors(Some(pid), |p| parents.get(p).copied()).take(MAX_DEPTH);
        line.into_iter().find_map(|p| seeds.get(&p).copied())
    };
    let owner = |p: &Process| {
        let group = matchers.of_process(&p.groups).filter(|m| Some(&m.full_id) != mine.as_ref().map(|m| &m.full_id));
        let known = group.as_ref().and_then(|m| by_id.get(&*m.full_id)).or_else(|| by_ns.get(&p.pid_ns?));
        let found = known.copied().or_else(|| descent(p.pid)).map(Owner::Registered);
        found.or(group.map(Owner::Other))
    };
    processes.iter().filter_map(|p| Some((p.pid, owner(p)?))).collect()
}

fn first_process(r: &porthole_registration::container::Container) -> Option<u32> {
    if r.runtime_root.is_empty() { None } else { life::first_process(Path::new(&r.runtime_root), &r.id) }
}

fn tree(mut container: ContainerView, members: &[&Process], described: bool) -> TreeView {
    container.alive = members.len() as u64;
    let mut tree = vec![];
    if described {
        let mut users = members.first().map(|p| Users::new(Path::new(&format!("/proc/{}/root", p.pid))));
        let now = Instant::now();
        for process in in_order(members).into_iter().take(MAX_SHOWN) {
            let Some(mut view) = processes::view(process) else { continue };
            let inner = facts::inner_uid_of(process.pid, view.uid);
            let name = users.as_mut().and_then(|users| users.name(inner, now));
            view.user = name.map(|name| name.to_string()).unwrap_or_default();
            tree.push(view);
        }
    }
    TreeView { container, tree }
}

/// Parents before their children, and these before the next process of their parent.
fn in_order<'a>(members: &[&'a Process]) -> Vec<&'a Process> {
    let here: HashMap<u32, &Process> = members.iter().map(|p| (p.pid, *p)).collect();
    let mut children: HashMap<u32, Vec<&Process>> = HashMap::new();
    let mut tops = vec![];
    for process in members {
        if here.contains_key(&process.stat.ppid) && process.stat.ppid != process.pid {
            children.entry(process.stat.ppid).or_default().push(process);
        } else {
            tops.push(*process);
        }
    }
    let mut ordered = vec![];
    let mut waiting: Vec<&Process> = tops.into_iter().rev().collect();
    while let Some(process) = waiting.pop() {
        ordered.push(process);
        waiting.extend(children.remove(&process.pid).into_iter().flatten().rev());
    }
    ordered
}

/// How deep each process stands below the first ones of the list, and whether it is the last of its parent's children;
/// for whoever draws the tree.
pub(crate) fn branches(tree: &[ProcessView]) -> Vec<Vec<bool>> {
    let at: HashMap<u32, usize> = tree.iter().enumerate().map(|(n, p)| (p.pid, n)).collect();
    let parent = |n: usize| at.get(&tree[n].ppid).copied().filter(|p| *p < n);
    let mut last_child: HashMap<Option<usize>, usize> = HashMap::new();
    for n in 0..tree.len() {
        last_child.insert(parent(n), n);
    }
    let is_last = |n: usize| last_child.get(&parent(n)) == Some(&n);
    let line = |n: usize| {
        let mut line: Vec<bool> = std::iter::successors(Some(n), |n| parent(*n)).take(MAX_DEPTH).map(is_last).collect();
        line.reverse();
        line
    };
    (0..tree.len()).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, ppid: u32) -> Process {
        Process { pid, stat: facts::Stat { ppid, ..Default::default() }, ..Process::default() }
    }

    #[test]
    fn children_follow_their_parents_whatever_their_numbers() {
        let all = [process(2, 9), process(9, 1), process(3, 9), process(5, 2), process(7, 700)];
        let ordered = in_order(&all.iter().collect::<Vec<_>>());
        assert_eq!(ordered.iter().map(|p| p.pid).collect::<Vec<_>>(), [9, 2, 5, 3, 7]);
        // a number that was used again while the list was read
        let round = [process(4, 5), process(5, 4)];
        assert!(in_order(&round.iter().collect::<Vec<_>>()).is_empty());
    }

    #[test]
    fn branches_end_with_the_last_child() {
        let view = |pid, ppid| ProcessView { pid, ppid, ..ProcessView::default() };
        let tree = [view(9, 1), view(2, 9), view(5, 2), view(3, 9), view(7, 1)];
        let wanted = [vec![false], vec![false, false], vec![false, false, true], vec![false, true], vec![true]];
        assert_eq!(branches(&tree), wanted);
        assert!(branches(&[]).is_empty());
    }

    #[test]
    fn this_machine_is_counted_without_harm() {
        let all = Census::new(0).take(&[], true);
        assert!(all.iter().all(|t| !t.container.registered && t.container.alive > 0), "{all:?}");
    }
}
