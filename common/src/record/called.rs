//! Any call that has no kind of its own: its result and its arguments.

use super::signature::{Kind as Of, Signature};
use super::{Call, HEAD, Kind, head};
use crate::limits;
use crate::msgpack::{self, Malformed, Reader, Writer, bin_len};

/// Most arguments that a libc function has which is recorded.
pub const ARGUMENTS: usize = 6;

/// The value of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not recorded.
    Skipped,
    /// A number. What C declares as `int` is sign-extended.
    Number(i64),
    /// A path or a text as given, or a raw `struct sockaddr`; empty where there was none.
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// Encoded bytes.
    #[inline(always)]
    pub const fn encoded_len(&self) -> usize {
        match self {
            Value::Skipped => 0,
            Value::Number(_) => msgpack::I64,
            Value::Bytes(b) => bin_len(b.len()),
        }
    }
}

/// A call was made. On the wire: call, result, and the arguments that its [`Signature`] does not skip.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// The call; it has a signature.
    pub call: Call,
    /// What it returned, or negative errno.
    pub res: i64,
    /// Its arguments by their places in the C function.
    pub arguments: [Value<'a>; ARGUMENTS],
}

impl<'a> Called<'a> {
    pub(super) const FIELDS: usize = 3;

    /// Encoded bytes.
    pub fn encoded_len(&self) -> usize {
        let arguments: usize = self.arguments.iter().map(Value::encoded_len).sum();
        HEAD + msgpack::U8 + msgpack::I64 + arguments
    }

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        let recorded = self.arguments.iter().filter(|a| !matches!(a, Value::Skipped)).count();
        head(w, Kind::Called, Self::FIELDS + recorded);
        w.u8(self.call as u8);
        w.i64(self.res);
        for argument in &self.arguments {
            match argument {
                Value::Skipped => {}
                Value::Number(n) => w.i64(*n),
                Value::Bytes(b) => w.bin(b),
            }
        }
    }

    pub(super) fn read(r: &mut Reader<'a>, fields: usize) -> Result<Self, Malformed> {
        let call = Call::read(r)?;
        let signature = call.signature().ok_or(Malformed::Range)?;
        let res = r.int()?;
        let recorded = signature.arguments.iter().filter(|(_, kind)| *kind != Of::Skip).count();
        if fields < Self::FIELDS + recorded {
            return Err(Malformed::Truncated);
        }
        let mut arguments = [Value::Skipped; ARGUMENTS];
        for (value, (_, kind)) in arguments.iter_mut().zip(signature.arguments) {
            *value = match kind {
                Of::Skip => Value::Skipped,
                Of::Number => Value::Number(r.int()?),
                Of::Path => Value::Bytes(r.bin(limits::PATH)?),
                Of::Text => Value::Bytes(r.bin(limits::TEXT)?),
                Of::Address | Of::Peer | Of::Message => Value::Bytes(r.bin(limits::SOCKADDR)?),
            };
        }
        Ok(Called { call, res, arguments })
    }

    /// The signature of its call.
    pub fn signature(&self) -> Option<Signature> {
        self.call.signature()
    }

    /// The value of the argument with this name.
    pub fn argument(&self, name: &str) -> Option<Value<'a>> {
        let signature = self.call.signature()?;
        let at = signature.arguments.iter().position(|(n, kind)| *n == name && *kind != Of::Skip)?;
        self.arguments.get(at).copied()
    }
}
