//! What supervisor and worker say to each other: words, some with a descriptor, over a pair of sockets.

use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Longest word: a verb and the name of a descriptor.
const WORD: usize = 512;

/// One message.
#[derive(Debug)]
pub(crate) enum Word {
    /// To the worker: a descriptor that is kept for it, by name.
    Kept(String, OwnedFd),
    /// To the worker: these were all. So many before it have ended without being asked to.
    Go(u64),
    /// To the supervisor: everything runs.
    Ready,
    /// To the supervisor: still alive.
    Beat,
    /// To the supervisor: keep this descriptor, whatever becomes of me.
    Keep(String, OwnedFd),
    /// To the supervisor: nobody needs it any more.
    Forget(String),
    /// To the supervisor: start the program of `program_output`; its pipe comes as [`Word::Kept`].
    Program,
    /// To the supervisor: what was asked for is done; no other worker need start.
    Done,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Control(OwnedFd);

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Control {
    /// Both ends.
    pub fn pair() -> io::Result<(Control, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(io::Error::from)?;
        Ok((Control(ours), theirs))
    }

    /// The end that this process was started with.
    pub fn inherited(fd: OwnedFd) -> Control {
        Control(fd)
    }

    /// Says a word without waiting: who does not listen is not waited for.
    pub fn say(&self, word: &Word) -> io::Result<()> {
        let (text, fd) = match word {
            Word::Kept(name, fd) => (format!("kept {name}"), Some(fd)),
            Word::Keep(name, fd) => (format!("keep {name}"), Some(fd)),
            Word::Forget(name) => (format!("forget {name}"), None),
            Word::Go(restarts) => (format!("go {restarts}"), None),
            Word::Ready => ("ready".into(), None),
            Word::Beat => ("beat".into(), None),
            Word::Program => ("program".into(), None),
            Word::Done => ("done".into(), None),
        };
        if text.len() > WORD {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        match fd {
            Some(fd) => sys::send_descriptor(&self.0, text.as_bytes(), fd.as_fd(), flags)?,
            None => drop(send(self.0.as_raw_fd(), text.as_bytes(), flags)?),
        }
        Ok(())
    }

    /// The next word; `None` when there is none now. The other end's end is an error.
    pub fn hear(&self, wait: bool) -> io::Result<Option<Word>> {
        let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
        let mut bytes = [0; WORD];
        let (len, fd) = match sys::receive_descriptor(&self.0, &mut bytes, flags) {
            Ok((0, _)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let text = String::from_utf8_lossy(&bytes[..len]);
        let (verb, name) = text.split_once(' ').unwrap_or((&text, ""));
        let unknown = || io::Error::other(format!("{text:?} is no word between supervisor and worker"));
        Ok(Some(match (verb, fd) {
            ("kept", Some(fd)) => Word::Kept(name.to_owned(), fd),
            ("keep", Some(fd)) => Word::Keep(name.to_owned(), fd),
            // this process has no room for one more: nothing is kept, and everything goes on
            ("kept" | "keep", None) => Word::Beat,
            ("forget", _) => Word::Forget(name.to_owned()),
            ("go", _) => Word::Go(name.parse().map_err(|_| unknown())?),
            ("ready", _) => Word::Ready,
            ("beat", _) => Word::Beat,
            ("program", _) => Word::Program,
            ("done", _) => Word::Done,
            _ => return Err(unknown()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn words_and_descriptors_come_through() {
        let (ours, theirs) = Control::pair().unwrap();
        let theirs = Control::inherited(theirs);
        assert!(theirs.hear(false).unwrap().is_none());
        let (mut read, write) = io::pipe().unwrap();
        ours.say(&Word::Keep("agent.1".into(), write.into())).unwrap();
        ours.say(&Word::Ready).unwrap();
        let Some(Word::Keep(name, fd)) = theirs.hear(true).unwrap() else { panic!("no descriptor") };
        assert_eq!(name, "agent.1");
        std::fs::File::from(fd).write_all(b"x").unwrap();
        let mut byte = [0];
        read.read_exact(&mut byte).unwrap();
        assert!(matches!(theirs.hear(true).unwrap(), Some(Word::Ready)));
        assert!(ours.say(&Word::Forget("x".repeat(1000))).is_err());
        drop(ours);
        assert_eq!(theirs.hear(true).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
