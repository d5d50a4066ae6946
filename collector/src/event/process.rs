//! What events say of a process, and of those that it descends from.

use super::{Namespaces, ValueRef, number_field, text_field};
use std::sync::Arc;

/// Ancestors that are kept of a process when it has very many.
pub const ANCESTORS: usize = 16;

/// What events say of a process: an immutable snapshot, shared by all events made while it held.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Process {
    /// Pid on the host; `None` when only the container's own pid is known.
    pub pid: Option<u32>,
    /// Pid inside the container.
    pub vpid: Option<u32>,
    /// Parent's pid on the host.
    pub ppid: Option<u32>,
    /// Process group and POSIX session, as numbers inside the container.
    pub vpgid: Option<u32>,
    /// See `vpgid`.
    pub sid: Option<u32>,
    /// When it began, nanoseconds since the epoch; 0 = not known.
    pub start_ns: u64,
    /// Kernel's comm, 15 bytes.
    pub name: Arc<str>,
    /// `argv[0]`.
    pub exe: Arc<str>,
    /// Path of the executable.
    pub exepath: Arc<str>,
    /// `argv[1..]`, joined with blanks.
    pub args: Arc<str>,
    /// Name and arguments.
    pub cmdline: Arc<str>,
    /// Working directory with a trailing slash; empty when unknown.
    pub cwd: Arc<str>,
    /// Controlling terminal's device number, 0 = none.
    pub tty: Option<u32>,
    /// The parent as it was when this process came from it, where it is known; with its own parent, and so on.
    #[serde(with = "lineage")]
    pub parent: Option<Arc<Process>>,
    /// User id as the host sees it.
    pub uid: Option<u32>,
    /// Name of that user in the container's `/etc/passwd`.
    pub user: Option<Arc<str>>,
    /// Group id.
    pub gid: Option<u32>,
    /// User that has logged in; the largest number = none.
    pub loginuid: Option<u32>,
    /// Capabilities, bit n = capability n.
    pub cap_effective: Option<u64>,
    /// See `cap_effective`.
    pub cap_permitted: Option<u64>,
    /// Whether its executable is none of the image's, but was written since; where anybody asked.
    pub upper_layer: Option<bool>,
    /// Namespaces.
    pub ns: Namespaces,
}

impl Process {
    /// Its ancestors, the parent first.
    pub fn ancestors(&self) -> impl Iterator<Item = &Process> {
        std::iter::successors(self.parent.as_deref(), |p| p.parent.as_deref())
    }

    /// The parent's name, where it is known.
    pub fn pname(&self) -> Option<&str> {
        self.parent.as_deref().map(|p| &*p.name).filter(|name| !name.is_empty())
    }

    /// The process as its children know it. A line that grows for ever (each the only child of the one before) loses
    /// its far end now and then.
    pub fn as_parent(process: &Arc<Process>) -> Arc<Process> {
        if process.ancestors().count() < 2 * ANCESTORS {
            return process.clone();
        }
        let near: Vec<&Process> = process.ancestors().take(ANCESTORS).collect();
        let parent = lineage::joined(near.into_iter().cloned());
        Arc::new(Process { parent, ..Process::clone(process) })
    }

    pub(super) fn each<'a>(&'a self, f: &mut dyn FnMut(&'static str, ValueRef<'a>)) {
        number_field(f, "proc.pid", self.pid);
        number_field(f, "proc.vpid", self.vpid);
        number_field(f, "proc.ppid", self.ppid);
        text_field(f, "proc.name", &self.name);
        text_field(f, "proc.exe", &self.exe);
        text_field(f, "proc.exepath", &self.exepath);
        if !self.exe.is_empty() {
            f("proc.args", ValueRef::Text(&self.args));
        }
        text_field(f, "proc.cmdline", &self.cmdline);
        text_field(f, "proc.cwd", &self.cwd);
        number_field(f, "proc.tty", self.tty);
        if let Some(parent) = &self.parent {
            text_field(f, "proc.pname", &parent.name);
            text_field(f, "proc.pcmdline", &parent.cmdline);
        }
        number_field(f, "user.uid", self.uid);
        text_field(f, "user.name", self.user.as_deref().unwrap_or(""));
    }
}

/// Ancestors in a file: a list, the parent first, of few and with short texts, because containers decide both.
mod lineage {
    use super::{ANCESTORS, Process};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    /// Bytes that are kept of a text.
    const TEXT: usize = 512;

    pub fn serialize<S: Serializer>(parent: &Option<Arc<Process>>, to: S) -> Result<S::Ok, S::Error> {
        let all = std::iter::successors(parent.as_deref(), |p| p.parent.as_deref());
        let short = |p: &Process| Process {
            parent: None,
            args: cut(&p.args),
            cmdline: cut(&p.cmdline),
            exepath: cut(&p.exepath),
            exe: cut(&p.exe),
            cwd: cut(&p.cwd),
            ..p.clone()
        };
        all.take(ANCESTORS).map(short).collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Process>>, D::Error> {
        let mut all = Vec::<Process>::deserialize(from)?;
        all.truncate(ANCESTORS);
        Ok(joined(all.into_iter()))
    }

    /// A line of ancestors from a list, the parent first.
    pub fn joined(all: impl DoubleEndedIterator<Item = Process>) -> Option<Arc<Process>> {
        all.rev().fold(None, |parent, process| Some(Arc::new(Process { parent, ..process })))
    }

    fn cut(text: &Arc<str>) -> Arc<str> {
        if text.len() <= TEXT {
            return text.clone();
        }
        let end = (0..=TEXT).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text[..end].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(depth: usize) -> Arc<Process> {
        (0..depth).fold(Arc::default(), |parent: Arc<Process>, n| {
            let parent = Some(Process::as_parent(&parent));
            Arc::new(Process { vpid: Some(n as u32), parent, args: "x".repeat(2000).into(), ..Default::default() })
        })
    }

    #[test]
    fn a_line_that_grows_for_ever_is_bounded() {
        let last = line(1000);
        let depth = last.ancestors().count();
        assert!((ANCESTORS..=2 * ANCESTORS).contains(&depth), "{depth}");
        let near: Vec<_> = last.ancestors().filter_map(|p| p.vpid).take(ANCESTORS).collect();
        assert_eq!(near, (1000 - 1 - ANCESTORS as u32..999).rev().collect::<Vec<_>>());
    }

    #[test]
    fn ancestors_come_back_from_a_file_that_stays_small() {
        let last = line(31);
        let json = serde_json::to_vec(&*last).unwrap();
        assert!(json.len() < 64 << 10, "{}", json.len());
        let back: Process = serde_json::from_slice(&json).unwrap();
        let vpids = |p: &Process| p.ancestors().filter_map(|p| p.vpid).take(ANCESTORS).collect::<Vec<_>>();
        assert_eq!((vpids(&back), &*back.args), (vpids(&last), &*last.args));
        assert_eq!(serde_json::from_str::<Process>("{}").unwrap(), Process::default());
    }
}
