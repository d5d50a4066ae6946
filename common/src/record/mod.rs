//! Records: what the agent says of one call, as a MessagePack array `[kind, field, …]`.
//!
//! Kind numbers are explicit and never reused; fields are only ever appended, and a reader ignores what stands behind
//! the fields it knows. `docs/WIRE.md` has the table; `testdata/` a golden file for each kind.

mod args;
mod call;
mod called;
mod exec;
mod file;
mod hello;
mod names;
mod process;
pub mod signature;
mod socket;

pub use args::Args;
pub use call::Call;
pub use called::{ARGUMENTS, Called, Value};
pub use exec::{Exec, ExecFailed, Injection, Target};
pub use file::{Chdir, Open};
pub use hello::{Clock, Hello, Libc, NAMESPACES, hello_flags};
pub use names::Lookup;
pub use process::{Drop, DropReason, Exit, Fork, Sandbox};
pub use socket::Connect;

use crate::msgpack::{self, Malformed, Reader, Writer};

/// Numbers of the record kinds on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // each has a struct of the same name
pub enum Kind {
    Hello = 1,
    Exec = 2,
    ExecFailed = 3,
    Open = 4,
    Connect = 5,
    Fork = 6,
    Chdir = 7,
    Exit = 8,
    Drop = 9,
    Sandbox = 10,
    Called = 11,
    Lookup = 12,
}

/// Any record, borrowed from the bytes it was decoded from.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Record<'a> {
    Hello(Hello<'a>),
    Exec(Exec<'a>),
    ExecFailed(ExecFailed),
    Open(Open<'a>),
    Connect(Connect<'a>),
    Fork(Fork),
    Chdir(Chdir<'a>),
    Exit(Exit),
    Drop(Drop),
    Sandbox(Sandbox),
    Called(Called<'a>),
    Lookup(Lookup<'a>),
}

impl<'a> Record<'a> {
    /// Decodes one record; bytes behind its known fields are ignored.
    ///
    /// # Errors
    /// [`Malformed`] for anything that the wire does not allow. Total: any input gives a record or an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Record<'a>, Malformed> {
        let r = &mut Reader::new(bytes);
        let fields = r.array()?;
        let kind: u8 = r.number()?;
        let (need, record) = match kind {
            1 => (Hello::FIELDS, Record::Hello(Hello::read(r)?)),
            2 => (Exec::FIELDS, Record::Exec(Exec::read(r)?)),
            3 => (ExecFailed::FIELDS, Record::ExecFailed(ExecFailed::read(r)?)),
            4 => (Open::FIELDS, Record::Open(Open::read(r)?)),
            5 => (Connect::FIELDS, Record::Connect(Connect::read(r, fields)?)),
            6 => (Fork::FIELDS, Record::Fork(Fork::read(r)?)),
            7 => (Chdir::FIELDS, Record::Chdir(Chdir::read(r)?)),
            8 => (Exit::FIELDS, Record::Exit(Exit::read(r)?)),
            9 => (Drop::FIELDS, Record::Drop(Drop::read(r)?)),
            10 => (Sandbox::FIELDS, Record::Sandbox(Sandbox::read(r)?)),
            11 => (Called::FIELDS, Record::Called(Called::read(r, fields)?)),
            12 => (Lookup::FIELDS, Record::Lookup(Lookup::read(r)?)),
            _ => return Err(Malformed::Kind),
        };
        if fields < need { Err(Malformed::Truncated) } else { Ok(record) }
    }
}

/// Encoded bytes of the array head and the kind.
const HEAD: usize = msgpack::ARRAY + msgpack::U8;

#[inline(always)]
fn head(w: &mut Writer, kind: Kind, fields: usize) {
    w.array(fields as u16);
    w.u8(kind as u8);
}
