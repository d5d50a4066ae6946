//! What the targets share: encoding a decoded record again, and reading choices off an input; events for rules.

pub mod anything;

use porthole_common::limits;
use porthole_common::msgpack::Writer;
use porthole_common::record::{Args, Record};

/// The record as the agent would write it.
pub fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = vec![0; limits::RECORD];
    let w = &mut Writer::new(&mut bytes);
    match record {
        Record::Hello(r) => r.encode(w, r.argv.len() as u16, r.argv.iter()),
        Record::Exec(r) => r.encode(w, r.argv.len() as u16, r.argv.iter()),
        Record::ExecFailed(r) => r.encode(w),
        Record::Open(r) => r.encode(w),
        Record::Connect(r) => r.encode(w),
        Record::Fork(r) => r.encode(w),
        Record::Chdir(r) => r.encode(w),
        Record::Exit(r) => r.encode(w),
        Record::Drop(r) => r.encode(w),
        Record::Sandbox(r) => r.encode(w),
        Record::Called(r) => r.encode(w),
        Record::Lookup(r) => r.encode(w),
    }
    let len = std::mem::replace(w, Writer::new(&mut [])).finish().expect("whatever decodes fits the limits");
    bytes.truncate(len);
    bytes
}

/// The record without its arguments, whose encoded form depends on what stands behind them, and the arguments.
pub fn apart<'a>(record: &Record<'a>) -> (Record<'a>, Vec<&'a [u8]>) {
    let mut record = *record;
    let argv = match &mut record {
        Record::Hello(r) => std::mem::replace(&mut r.argv, Args::EMPTY),
        Record::Exec(r) => std::mem::replace(&mut r.argv, Args::EMPTY),
        _ => Args::EMPTY,
    };
    (record, argv.iter().collect())
}

/// Reads numbers and byte strings off an input, zeros behind its end.
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// One byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// As many bytes as there are, at most `n`.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> u32 {
        let mut word = [0; 4];
        let taken = self.bytes(4);
        word[..taken.len()].copy_from_slice(taken);
        u32::from_le_bytes(word)
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> u16 {
        let mut word = [0; 2];
        let taken = self.bytes(2);
        word[..taken.len()].copy_from_slice(taken);
        u16::from_le_bytes(word)
    }
}
