//! Stories that are kept: in memory for the API, and in two files by which a worker finds those of the one before.
//!
//! `STATE/alerts` gets a line for each story, and one for each program that is started below it; when it holds half of what
//! may be kept it becomes `alerts.1`. Both are root's alone: arguments and paths of containers stand in them.

use super::super::filter::Filter;
use super::Plan;
use super::story::{CHILDREN, Child, Draft, Id, Member, Story};
use crate::clock::now_ns;
use crate::event::Event;
use crate::loss::lock;
use crate::status::OutputStatus;
use crossbeam_channel::Receiver;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Names of the files.
const FILE: &str = "alerts";
const BEFORE: &str = "alerts.1";
/// A line of a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Child { of: String, child: Member },
    Story(Box<Story>),
}

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Item {
    Story(Box<Draft>),
    Child(Id, Child),
}

/// See the module.
#[derive(Debug)]
pub struct Archive {
    plan: Plan,
    last: AtomicU64,
    kept: Mutex<Kept>,
    status: Mutex<OutputStatus>,
}

/// A story that is kept.
#[derive(Clone, Debug)]
pub struct Told {
    /// It.
    pub story: Arc<Story>,
    /// Its event, while the worker that has judged it lives.
    event: Option<Arc<Event>>,
    size: usize,
}

impl Told {
    /// Whether a condition is true for its event.
    pub fn holds(&self, filter: &Filter) -> bool {
        match &self.event {
            Some(event) => filter.holds(event),
            None => self.story.holds(filter),
        }
    }
}

#[derive(Debug, Default)]
struct Kept {
    stories: VecDeque<Told>,
    bytes: usize,
}

impl Kept {
    fn put(&mut self, story: Story, event: Option<Arc<Event>>, plan: &Plan) {
        let size = story.size();
        self.bytes += size;
        self.stories.push_back(Told { story: Arc::new(story), event, size });
        self.bound(plan);
    }

    /// Adds a program to a story that is kept; whether it was.
    fn add(&mut self, id: &str, child: Member, plan: &Plan) -> bool {
        let known = self.stories.iter_mut().rfind(|told| told.story.id == id);
        let Some(told) = known.filter(|told| told.story.children.len() < CHILDREN) else { return false };
        let story = Arc::make_mut(&mut told.story);
        story.children.push(child);
        let size = story.size();
        self.bytes = self.bytes + size - std::mem::replace(&mut told.size, size);
        self.bound(plan);
        true
    }

    fn bound(&mut self, plan: &Plan) {
        while self.stories.len() > plan.keep || self.bytes > plan.bytes {
            let Some(oldest) = self.stories.pop_front() else { break };
            self.bytes -= oldest.size;
        }
    }
}

impl Archive {
    /// With what an earlier worker has left.
    pub(super) fn open(plan: &Plan) -> Archive {
        let mut kept = Kept::default();
        for name in [BEFORE, FILE] {
            let Some(dir) = &plan.dir else { continue };
            for line in read(&dir.join(name), plan.bytes) {
                match line {
                    Line::Story(story) => kept.put(*story, None, plan),
                    Line::Child { of, child } => drop(kept.add(&of, child, plan)),
                }
            }
        }
        let status = OutputStatus { name: "alerts kept with their stories".into(), ..OutputStatus::default() };
        Archive { plan: plan.clone(), last: AtomicU64::new(0), kept: Mutex::new(kept), status: Mutex::new(status) }
    }

    /// A number that no other alert has.
    pub(super) fn new_id(&self) -> Id {
        let now = now_ns();
        let before = self.last.fetch_update(Relaxed, Relaxed, |last| Some(now.max(last + 1))).unwrap_or_default();
        // an odd factor: no two of 2^48 are the same, and those of one moment look different
        Id(now.max(before + 1).wrapping_mul(0x9E37_79B9_7F4B) & 0xFFFF_FFFF_FFFF)
    }

    pub(super) fn lose(&self) {
        let mut status = lock(&self.status);
        status.lost += 1;
        status.error = "more alerts than can be kept".into();
    }

    pub(super) fn status(&self) -> OutputStatus {
        lock(&self.status).clone()
    }

    /// The last stories, newest first.
    pub fn stories(&self) -> Vec<Told> {
        lock(&self.kept).stories.iter().rev().cloned().collect()
    }

    /// Keeps what comes, until nobody sends any more.
    pub(super) fn run(&self, items: &Receiver<Item>) {
        for item in items {
            match item {
                Item::Story(draft) => {
                    let story = draft.finish();
                    self.write(&story.line());
                    lock(&self.kept).put(story, Some(draft.event), &self.plan);
                }
                Item::Child(id, child) => {
                    let (of, child) = (id.to_string(), Member::from(child));
                    let line = serde_json::json!({ "of": of, "child": child }).to_string();
                    if lock(&self.kept).add(&of, child, &self.plan) {
                        self.write(&line);
                    }
                }
            }
        }
    }

    fn write(&self, line: &str) {
        let Some(dir) = &self.plan.dir else { return };
        let written = append(dir, line, self.plan.bytes / 2);
        let mut status = lock(&self.status);
        match written {
            Ok(()) => status.written += 1,
            // it is in memory all the same
            Err(e) => status.error = format!("cannot write {}: {e}", dir.join(FILE).display()),
        }
    }
}

fn append(dir: &Path, line: &str, most: usize) -> io::Result<()> {
    let path = dir.join(FILE);
    if fs::symlink_metadata(&path).is_ok_and(|meta| meta.len() as usize + line.len() > most) {
        fs::rename(&path, dir.join(BEFORE))?;
    }
    let mut file =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)?;
    // begins with the end of whatever was cut off before it
    file.write_all(format!("\n{line}").as_bytes())
}

/// The lines of a file; what a killed worker has not written to its end is left out.
fn read(path: &Path, most: usize) -> Vec<Line> {
    let mut text = vec![];
    let file = File::open(path).and_then(|file| file.take(2 * most as u64).read_to_end(&mut text));
    if file.is_err() {
        return vec![];
    }
    text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn story(id: &str, text: usize) -> Story {
        Story { id: id.into(), rule: "x".repeat(text), ..Story::default() }
    }

    fn ids(archive: &Archive) -> Vec<String> {
        archive.stories().iter().map(|told| told.story.id.clone()).collect()
    }

    #[test]
    fn stories_come_back_within_their_bounds() {
        let dir = std::env::temp_dir().join(format!("porthole-stories-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let plan = Plan { keep: 3, bytes: 20_000, records: 1, dir: Some(dir.clone()) };
        let archive = Archive::open(&plan);
        for n in 0..50 {
            let story = story(&n.to_string(), 1000);
            archive.write(&story.line());
            lock(&archive.kept).put(story, None, &plan);
        }
        assert_eq!(ids(&archive), ["49", "48", "47"]);
        let size: u64 = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= 20_000, "{size}");
        append(&dir, "{\"of\": \"48\", \"child\": {\"name\": \"kid\"}}", 20_000).unwrap();
        append(&dir, "{\"id\": \"half", 20_000).unwrap();
        assert_eq!(Archive::open(&plan).stories()[1].story.children[0].name, "kid");
        assert_eq!(ids(&Archive::open(&plan)), ["49", "48", "47"]);
        let small = Plan { bytes: 3000, ..plan };
        assert_eq!(ids(&Archive::open(&small)).len(), 3 - 1, "as many as there is room for");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn numbers_are_told_apart_by_their_first_digits() {
        let archive = Archive::open(&Plan { keep: 1, bytes: 1000, records: 1, dir: None });
        let ids: BTreeSet<String> = (0..1000).map(|_| archive.new_id().to_string()).collect();
        assert!(ids.len() == 1000 && ids.iter().all(|id| id.len() == 12));
        let starts: BTreeSet<&str> = ids.iter().map(|id| &id[..4]).collect();
        assert!(starts.len() > 500, "{}", starts.len());
    }
}
