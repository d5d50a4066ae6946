//! glibc 2.41 and later: system calls at which a thread can be cancelled are made by one function for all, which gets
//! the number as its seventh argument, on the stack. Its own instructions must stay as they are, because a thread is
//! cancelled by where in them it stands. The sites are the instructions that call it for a number that is watched.

use super::elf::{Code, Function};
use super::sweep::{self, Call};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use porthole_common::sites::{CALLS, LENGTH};

/// Instructions between the number and the call at most, and behind the call until the function returns.
const AWAY: u32 = 8;

/// A call of a function of the same object.
pub struct Near {
    pub at: u64,
    pub target: u64,
    /// The constant on top of the stack, and where it was pushed.
    pub number: Option<(u32, u64)>,
}

/// The constant that lies on top of the stack while instructions pass.
#[derive(Default)]
pub struct Pushed(Option<(u32, u64)>, u32);

impl Pushed {
    /// What this call finds.
    pub fn call(&self, call: &Instruction) -> Near {
        Near { at: call.ip(), target: call.near_branch_target(), number: self.0 }
    }

    /// One more instruction.
    pub fn pass(&mut self, instruction: &Instruction) {
        let constant = match instruction.op0_kind() {
            OpKind::Immediate8to64 => Some(instruction.immediate8to64()),
            OpKind::Immediate32to64 => Some(instruction.immediate32to64()),
            _ => None,
        };
        // Arguments are laid out meanwhile; nothing else is understood.
        let lays_out =
            matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Movsxd | Mnemonic::Lea | Mnemonic::Xor)
                && instruction.op0_kind() == OpKind::Register
                && instruction.op0_register() != Register::RSP;
        self.1 += 1;
        if instruction.mnemonic() == Mnemonic::Push {
            let number = constant.and_then(|n| u32::try_from(n).ok());
            *self = Pushed(number.map(|n| (n, instruction.ip())), 0);
        } else if !lays_out || self.1 > AWAY {
            self.0 = None;
        }
    }
}

/// The calls of that function, if the object has it, and what there is beside it.
pub fn calls(code: Code<'_>, nears: &[Near], functions: &[Function<'_>]) -> Vec<Call> {
    let Some(made_by) = common(code, nears, functions) else { return Vec::new() };
    // It calls one that does not set errno, and which must not be called for what is watched: that would be no site.
    let inner = nears.iter().find(|near| near.at >= made_by).map(|near| near.target);
    let watched = |near: &Near| near.number.is_some_and(|(n, _)| CALLS.contains(&n));
    let of_interest = |near: &&Near| near.target == made_by || Some(near.target) == inner && watched(near);
    nears
        .iter()
        .filter(of_interest)
        .map(|near| {
            let fits = sweep::bytes::<{ LENGTH + 1 }>(code, near.at).is_some_and(|bytes| bytes[0] == 0xe8);
            let site = near.target == made_by && watched(near) && fits;
            Call { at: near.at, number: near.number.map(|(n, _)| n), site: site.then_some(near.at) }
        })
        .collect()
}

/// The function that `read`, `write` and `connect` call for their numbers and whose result, with errno, is theirs.
fn common(code: Code<'_>, nears: &[Near], functions: &[Function<'_>]) -> Option<u64> {
    let target = |(name, number): (&str, u32)| {
        let function = functions.iter().find(|f| f.name == name)?;
        let first = nears.iter().find(|near| function.contains(near.at))?;
        (first.number?.0 == number && returns_at_once(code, first.at)).then_some(first.target)
    };
    let [read, write, connect] = [("read", 0), ("write", 1), ("connect", 42)].map(target);
    (read.is_some() && read == write && write == connect).then_some(read?)
}

/// Whether behind a call the stack is tidied and nothing else done.
fn returns_at_once(code: Code<'_>, call: u64) -> bool {
    let Some(behind) = usize::try_from(call - code.at).ok().and_then(|at| code.bytes.get(at..)) else { return false };
    let mut decoder = Decoder::with_ip(64, behind, call, DecoderOptions::NONE);
    decoder.iter().skip(1).take(AWAY as usize).find(|i| !tidies(i)).is_some_and(|i| i.mnemonic() == Mnemonic::Ret)
}

fn tidies(instruction: &Instruction) -> bool {
    let to = instruction.op0_register();
    match instruction.mnemonic() {
        Mnemonic::Add => to == Register::RSP,
        Mnemonic::Pop => to != Register::RAX,
        Mnemonic::Leave => true,
        _ => false,
    }
}
