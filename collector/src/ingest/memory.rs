//! Processes that the kernel kills because their container has no memory left: counted by its control group, whatever
//! the processes were, and looked at once a second.

use super::Ingest;
use super::facts;
use super::message::Message;
use porthole_registration::life;
use std::path::{Path, PathBuf};

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// Looks for a first process, one each second, before it is taken that there will be none.
const TRIES: u32 = 60;

/// The counter of one container.
#[derive(Debug, Default)]
pub(super) struct Memory {
    file: Option<PathBuf>,
    tries: u32,
    killed: u64,
    /// What was counted before the first look has been told by an earlier run of the collector.
    told: bool,
}

impl Memory {
    /// `told`: an earlier run of the collector has watched the container. What was killed since that run and before the
    /// first look of this one is not told: nobody could say which part of the sum it is.
    pub fn new(told: bool) -> Memory {
        Memory { told, ..Memory::default() }
    }

    /// How many have been killed in all, if they are more than at the last look. `first`: the container's first process.
    fn more(&mut self, id: &str, first: impl Fn() -> Option<u32>) -> Option<(u64, u64)> {
        if self.file.is_none() && self.tries < TRIES {
            self.tries += 1;
            let groups = facts::read(&format!("/proc/{}/cgroup", first()?))?;
            self.file = counter(&String::from_utf8_lossy(&groups), id, Path::new(ROOT));
        }
        let text = facts::read(self.file.as_ref()?.to_str()?)?;
        let all = killed(&String::from_utf8_lossy(&text))?;
        let before = std::mem::replace(&mut self.killed, all);
        let told = std::mem::take(&mut self.told);
        (all > before && !told).then(|| (all - before, all))
    }
}

impl Ingest {
    /// Looks at every container's counter.
    pub(super) fn look_at_memory(&mut self) {
        let ids: Vec<u64> = self.containers.keys().copied().collect();
        ids.into_iter().for_each(|id| self.look_at_memory_of(id));
    }

    /// Looks at the counter of one.
    pub(super) fn look_at_memory_of(&mut self, id: u64) {
        let Some(c) = self.registered_mut(id).filter(|c| !c.container.is_host()) else { return };
        let (container, r) = (c.container.clone(), &c.container.registration);
        let root = Path::new(&r.runtime_root);
        let Some((killed, all)) = c.memory.more(&r.id, || life::first_process(root, &r.id)) else { return };
        self.send(Message::Starved { container, killed, all });
    }
}

/// The file with the counter, by a process's groups: of the hierarchy that limits memory, else of the unified one. Of a
/// group that is not the container's own, as others' processes count there: none.
fn counter(groups: &str, id: &str, root: &Path) -> Option<PathBuf> {
    let lines = || groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let of_memory = lines().find(|(controllers, _)| controllers.split(',').any(|c| c == "memory"));
    let (path, file) = match of_memory {
        Some((_, path)) => (root.join("memory").join(path.strip_prefix('/')?), "memory.oom_control"),
        None => {
            let (_, path) = lines().find(|(controllers, _)| controllers.is_empty())?;
            let unified = [root.to_owned(), root.join("unified")];
            let mut places = unified.iter().map(|root| root.join(path.trim_start_matches('/')));
            (places.find(|dir| dir.join("memory.events").exists())?, "memory.events")
        }
    };
    let own = |part: &str| part == id || part.ends_with(&format!("-{id}.scope")) || part.ends_with(&format!("-{id}"));
    let is_own = !id.is_empty() && path.iter().any(|part| part.to_str().is_some_and(own));
    is_own.then(|| path.join(file))
}

/// `oom_kill N`, in both files.
fn killed(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_that_of_the_containers_own_group() {
        let root = std::env::temp_dir().join(format!("porthole-memory-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a/docker-x1.scope")).unwrap();
        std::fs::write(root.join("a/docker-x1.scope/memory.events"), "oom 3\noom_kill 2\n").unwrap();
        let v1 = "9:name=systemd:/\n4:memory:/docker/x1\n0::/";
        assert_eq!(counter(v1, "x1", &root), Some(root.join("memory/docker/x1/memory.oom_control")));
        let v2 = counter("0::/a/docker-x1.scope", "x1", &root);
        assert_eq!(v2, Some(root.join("a/docker-x1.scope/memory.events")));
        for (groups, id) in
            [("0::/a/docker-x1.scope", "x"), ("4:memory:/user", "x1"), ("0::/a", "x1"), ("", ""), ("0::/", "")]
        {
            assert_eq!(counter(groups, id, &root), None, "{groups} {id}");
        }
        let mut memory = Memory { file: v2, ..Memory::default() };
        assert_eq!(memory.more("x1", || None), Some((2, 2)));
        assert_eq!(memory.more("x1", || None), None, "told once");
        std::fs::write(root.join("a/docker-x1.scope/memory.events"), "oom 3\noom_kill 5\n").unwrap();
        assert_eq!(memory.more("x1", || None), Some((3, 5)));
        let mut of_later_run = Memory { file: memory.file.clone(), ..Memory::new(true) };
        assert_eq!(of_later_run.more("x1", || None), None, "not told again");
        std::fs::write(root.join("a/docker-x1.scope/memory.events"), "oom_kill 6\n").unwrap();
        assert_eq!(of_later_run.more("x1", || None), Some((1, 6)));
        std::fs::remove_dir_all(root).unwrap();
        assert_eq!(memory.more("x1", || None), None);
    }

    #[test]
    fn both_forms_of_the_file_are_read() {
        assert_eq!(killed("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(killed("low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!((killed(""), killed("oom_kill x")), (None, None));
    }
}
