//! Finding which exec has started which program, without comparing each with each.
//!
//! An exec's record and the hello of its program come in either order, and a container may have thousands of both. Both
//! sides stand in an index under what they could have in common.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::ingest::message::SessionId;
use std::sync::Arc;

/// What an exec and a program may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The program's pid inside the container.
    Pid(u32),
    /// Its parent's, there and on the host.
    ChildOf(u32),
    ChildOfHost(u32),
    /// Its own on the host.
    Host(u32),
}

/// Numbers by key, the oldest first.
#[derive(Debug)]
pub(super) struct Index<K> {
    numbers: HashMap<K, BTreeSet<u64>>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Index { numbers: HashMap::new() }
    }
}

impl<K: Hash + Eq> Index<K> {
    pub fn insert(&mut self, keys: impl IntoIterator<Item = K>, number: u64) {
        for key in keys {
            self.numbers.entry(key).or_default().insert(number);
        }
    }

    pub fn remove(&mut self, keys: impl IntoIterator<Item = K>, number: u64) {
        for key in keys {
            if let Some(numbers) = self.numbers.get_mut(&key) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.numbers.remove(&key);
                }
            }
        }
    }

    /// Everything below any of the keys, the oldest of each key first.
    pub fn of(&self, keys: impl IntoIterator<Item = K>) -> impl Iterator<Item = u64> {
        keys.into_iter().filter_map(|key| self.numbers.get(&key)).flatten().copied()
    }
}

/// What is decided when its time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// A session that is held.
    Held(SessionId),
    /// An exec of this container.
    Exec(Arc<str>, u64),
    /// The losses of this container, for this reason, of the last second.
    Loss(Arc<str>, &'static str),
}

/// What becomes due within this time is decided at once.
const TOGETHER: Duration = Duration::from_millis(5);

/// How long something waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// A program for its exec's record, and an exec for its failure where no hello will come.
    Short,
    /// An exec for the failure or the hello, one of which will come.
    Answer,
    /// The sum of losses.
    Second,
    /// A program that should announce itself, before it is called a blind spot.
    Hello,
    /// The hello of a program that has been called a blind spot.
    Minute,
}

impl Wait {
    fn time(self) -> Duration {
        Duration::from_millis(match self {
            // All rings are read within this time.
            Wait::Short => 50,
            // On a loaded machine a process may stand still for so long between two records.
            Wait::Answer => 500,
            Wait::Second => 1000,
            Wait::Hello => 2000,
            Wait::Minute => 60_000,
        })
    }
}

/// Deadlines. Each wait is of one length: what begins to wait first is due first. What is decided earlier stays in its
/// queue and is found to be nothing.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queues: [VecDeque<(Instant, Late)>; 5],
}

impl Deadlines {
    pub fn insert(&mut self, wait: Wait, late: Late) {
        self.queues[wait as usize].push_back((Instant::now() + wait.time(), late));
    }

    /// When to look for what is due: a little later than the first, for what is due soon after it.
    pub fn next(&self) -> Option<Instant> {
        self.queues.iter().filter_map(|queue| queue.front()).map(|(at, _)| *at + TOGETHER).min()
    }

    /// What is due at `now`; with `None` everything, one after the other.
    pub fn pop(&mut self, now: Option<Instant>) -> Option<Late> {
        let due =
            |queue: &VecDeque<(Instant, Late)>| queue.front().is_some_and(|(at, _)| now.is_none_or(|now| *at <= now));
        self.queues.iter_mut().find(|queue| due(queue))?.pop_front().map(|(_, late)| late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_found_by_any_key_until_it_is_removed() {
        let mut index = Index::default();
        index.insert([Key::Pid(7), Key::ChildOf(1)], 2);
        index.insert([Key::Pid(7)], 1);
        assert_eq!(index.of([Key::Pid(7)]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(index.of([Key::Pid(8), Key::ChildOf(1)]).collect::<Vec<_>>(), [2]);
        index.remove([Key::Pid(7), Key::ChildOf(1)], 2);
        index.remove([Key::Pid(7)], 1);
        assert!(index.numbers.is_empty(), "nothing is left behind");
    }

    #[test]
    fn what_waits_longer_is_due_later() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(Wait::Hello, Late::Held(1));
        deadlines.insert(Wait::Short, Late::Held(2));
        deadlines.insert(Wait::Short, Late::Held(3));
        let now = Instant::now();
        assert!(deadlines.next().unwrap() > now && deadlines.pop(Some(now)).is_none());
        assert_eq!(deadlines.pop(Some(now + Wait::Short.time())), Some(Late::Held(2)));
        assert_eq!([deadlines.pop(None), deadlines.pop(None)], [Some(Late::Held(3)), Some(Late::Held(1))]);
        assert_eq!((deadlines.pop(None), deadlines.next()), (None, None));
    }
}
