//! Alerts to a program's standard input.
//!
//! The process that judges events may execute nothing: whoever takes a decoder over must not get a shell. So the program is
//! its supervisor's child; it is asked for here ([`Programs`]), and what comes is the end of a pipe, no more.

use super::watch::Watch;
use super::{Line, Out};
use crate::loss::lock;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// So many programs may end without reading an alert before it is lost.
const TRIES: u32 = 3;
/// How often one looks whether the program is there.
const LOOK: Duration = Duration::from_millis(1);
/// How long it is waited for when the collector ends.
const LAST: Duration = Duration::from_secs(1);

/// Where pipes to programs come from.
pub struct Programs {
    ask: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
    came: Mutex<Option<OwnedFd>>,
}

impl Programs {
    /// `ask` has a program started sooner or later; its pipe comes by [`Programs::give`].
    pub fn new(ask: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Programs {
        Programs { ask: Box::new(ask), came: Mutex::default() }
    }

    /// A program was started that reads from this.
    pub fn give(&self, pipe: OwnedFd) {
        *lock(&self.came) = Some(pipe);
    }
}

/// See the module.
pub(super) struct Program {
    programs: Arc<Programs>,
    keep_alive: bool,
    pipe: Option<File>,
    watch: Watch,
}

impl Program {
    pub fn new(programs: Arc<Programs>, keep_alive: bool, watch: Watch) -> Program {
        Program { programs, keep_alive, pipe: None, watch }
    }

    /// A running program's pipe. Who starts programs waits until the one before has ended.
    fn pipe(&mut self) -> io::Result<File> {
        if let Some(pipe) = self.pipe.take() {
            return Ok(pipe);
        }
        (self.programs.ask)()?;
        let mut until = None;
        loop {
            if let Some(pipe) = lock(&self.programs.came).take() {
                return Ok(pipe.into());
            }
            if self.watch.ending() && Instant::now() > *until.get_or_insert_with(|| Instant::now() + LAST) {
                return Err(io::Error::other("the collector ends, and the program does not run"));
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Out for Program {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = format!("{}\n", line.text);
        let mut tries = 0;
        loop {
            let mut pipe = self.pipe()?;
            match pipe.write_all(text.as_bytes()) {
                Ok(()) => {
                    self.pipe = Some(pipe).filter(|_| self.keep_alive);
                    self.watch.well();
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::BrokenPipe && tries < TRIES => {
                    tries += 1;
                    self.watch.trouble("the program has ended");
                }
                Err(e) => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read, pipe};

    fn line() -> Line {
        Line { text: "alert".into(), severity: 4 }
    }

    /// Programs that are the other ends of pipes, and those ends; the first `deaf` of them are gone at once.
    fn programs(deaf: usize) -> (Arc<Programs>, Arc<Mutex<Vec<PipeReader>>>) {
        let (readers, asked) = (Arc::new(Mutex::new(vec![])), Mutex::new(0));
        let all = readers.clone();
        let programs = Arc::new_cyclic(|own: &std::sync::Weak<Programs>| {
            let own = own.clone();
            Programs::new(move || {
                let (reader, writer) = pipe()?;
                let mut asked = lock(&asked);
                *asked += 1;
                if *asked > deaf {
                    lock(&all).push(reader);
                }
                own.upgrade().unwrap().give(writer.into());
                Ok(())
            })
        });
        (programs, readers)
    }

    #[test]
    fn a_program_gets_all_alerts_or_one_each() {
        for (keep_alive, expected) in [(true, 1), (false, 2)] {
            let (programs, readers) = programs(0);
            let mut program = Program::new(programs, keep_alive, Watch::default());
            program.write(&line()).unwrap();
            program.write(&line()).unwrap();
            drop(program);
            let mut text = String::new();
            lock(&readers).iter_mut().for_each(|r| {
                r.read_to_string(&mut text).unwrap();
            });
            assert_eq!((lock(&readers).len(), text.as_str()), (expected, "alert\nalert\n"));
        }
    }

    #[test]
    fn a_program_that_has_ended_is_replaced_and_one_that_always_does_loses_the_alert() {
        for (deaf, arrives) in [(3, true), (4, false)] {
            let (programs, readers) = programs(deaf);
            let mut program = Program::new(programs, true, Watch::default());
            assert_eq!(program.write(&line()).is_ok(), arrives, "{deaf}");
            assert_eq!(lock(&readers).len(), usize::from(arrives));
        }
    }

    #[test]
    fn who_waits_for_a_program_ends_with_the_collector() {
        let watch = Watch::default();
        let mut program = Program::new(Arc::new(Programs::new(|| Ok(()))), true, watch.clone());
        let writer = std::thread::spawn(move || program.write(&line()).map_err(|e| e.to_string()));
        watch.end();
        assert!(writer.join().unwrap().unwrap_err().contains("ends"));
    }
}
