//! Decodes a library's code from its first to its last byte and notes system calls and the targets of jumps.

use super::cancellable::{Near, Pushed};
use super::elf::Code;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use porthole_common::sites::{CALLS, LENGTH};

/// Instructions before a system call among which its number is sought.
const BACK: usize = 12;
/// System call instructions and calls of its own functions that a library has at most (the GNU C library: 530 and 14,000).
/// Each is looked at many times, and the file comes out of an image.
const MOST: (usize, usize) = (8192, 1 << 18);
/// `mov eax, number; mov rsi, rdi`, the eight bytes before a site that begins with `mov edi, AT_FDCWD`.
const BEFORE: u64 = 8;

/// One system call instruction, or a call of the function that holds it for many ([`super::cancellable`]).
#[derive(Debug)]
pub struct Call {
    pub at: u64,
    /// Its number, if that is a constant.
    pub number: Option<u32>,
    /// Where the site begins.
    pub site: Option<u64>,
}

impl Call {
    /// It is a site, or a system call that the table is not about.
    pub fn is_harmless(&self) -> bool {
        self.site.is_some() || self.number.is_some_and(|n| !CALLS.contains(&n))
    }
}

/// What a library's code does.
pub struct Sweep {
    /// All system call instructions, by address.
    pub calls: Vec<Call>,
    /// All calls of functions of its own, by address.
    pub nears: Vec<Near>,
}

impl Sweep {
    /// Decodes `code`. At each of `starts`, where functions begin, an instruction begins whatever lies before it. `None`
    /// if there are more calls than any C library has.
    pub fn over(code: Code<'_>, starts: impl Iterator<Item = u64>) -> Option<Sweep> {
        let mut starts: Vec<u64> = starts.collect();
        starts.sort_unstable();
        starts.dedup();
        let (mut calls, mut nears, mut targets) = (Vec::new(), Vec::new(), starts.clone());
        let mut starts = starts.into_iter().peekable();
        let mut last = [Instruction::default(); BACK];
        let mut pushed = Pushed::default();
        let mut n = 0;
        let mut decoder = Decoder::with_ip(64, code.bytes, code.at, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            while starts.next_if(|start| *start <= instruction.ip()).is_some() {}
            if let Some(start) = starts.next_if(|start| *start < instruction.next_ip()) {
                // Padding or data before the function was taken for code.
                if decoder.set_position((start - code.at) as usize).is_err() {
                    break;
                }
                decoder.set_ip(start);
                continue;
            }
            if instruction.mnemonic() == Mnemonic::Call && instruction.op0_kind() == OpKind::NearBranch64 {
                if nears.len() == MOST.1 {
                    return None;
                }
                nears.push(pushed.call(&instruction));
            }
            pushed.pass(&instruction);
            if instruction.op0_kind() == OpKind::NearBranch64 {
                targets.push(instruction.near_branch_target());
            }
            if instruction.mnemonic() == Mnemonic::Syscall {
                if calls.len() == MOST.0 {
                    return None;
                }
                let before = (1..=BACK.min(n)).map(|back| &last[(n - back) % BACK]);
                let boundaries: Vec<u64> = before.clone().take(3).map(Instruction::ip).collect();
                let site = site(code, instruction.ip(), &boundaries);
                calls.push(Call { at: instruction.ip(), number: number(before), site });
            }
            last[n % BACK] = instruction;
            n += 1;
        }
        targets.sort_unstable();
        let jumped_into = |first: u64, end: u64| {
            targets.get(targets.partition_point(|target| *target < first)).is_some_and(|target| *target < end)
        };
        for call in &mut calls {
            let Some(site) = call.site else { continue };
            // With the number behind another instruction, nothing may jump between the two either.
            let first = if byte(code, site) == Some(0xb8) { site + 1 } else { site - BEFORE + 1 };
            if jumped_into(first, call.at + 2) {
                call.site = None;
            }
        }
        for near in &mut nears {
            if near.number.is_some_and(|(_, pushed)| jumped_into(pushed + 1, near.at + 1)) {
                near.number = None;
            }
        }
        Some(Sweep { calls, nears })
    }
}

fn byte(code: Code<'_>, at: u64) -> Option<u8> {
    bytes::<1>(code, at).map(|[b]| b)
}

pub fn bytes<const N: usize>(code: Code<'_>, at: u64) -> Option<[u8; N]> {
    code.bytes.get(usize::try_from(at.checked_sub(code.at)?).ok()?..)?.first_chunk().copied()
}

/// The site that ends with the `syscall` at this address. `boundaries` are where the instructions before it begin, the
/// nearest first. One byte behind it must exist, because the agent writes eight.
fn site(code: Code<'_>, syscall: u64, boundaries: &[u64]) -> Option<u64> {
    let at = syscall.checked_sub(LENGTH as u64 - 2)?;
    let site: [u8; LENGTH + 1] = bytes(code, at)?;
    // The agent looks at eight bytes before every site.
    let before: [u8; BEFORE as usize] = bytes(code, at.checked_sub(BEFORE)?)?;
    let (number, expected) = match (before, site) {
        (_, [0xb8, a, b, c, d, 0x0f, 0x05, _]) => ([a, b, c, d], &[at][..]),
        ([0xb8, a, b, c, d, 0x48, 0x89, 0xfe], [0xbf, 0x9c, 0xff, 0xff, 0xff, 0x0f, 0x05, _]) => {
            ([a, b, c, d], &[at, at - 3, at - BEFORE][..])
        }
        _ => return None,
    };
    (CALLS.contains(&u32::from_le_bytes(number)) && boundaries.starts_with(expected)).then_some(at)
}

/// The constant in eax behind these instructions, the last one first.
fn number<'a>(before: impl Iterator<Item = &'a Instruction>) -> Option<u32> {
    for instruction in before {
        let to_eax = instruction.op0_kind() == OpKind::Register
            && matches!(instruction.op0_register(), Register::RAX | Register::EAX | Register::AX | Register::AL);
        match instruction.mnemonic() {
            // What is before does not lead here, or changes eax.
            Mnemonic::Jmp | Mnemonic::Ret | Mnemonic::Call | Mnemonic::Syscall | Mnemonic::Hlt | Mnemonic::Ud2 => {
                return None;
            }
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push => {}
            Mnemonic::Mov if to_eax && instruction.op1_kind() == OpKind::Immediate32 => {
                return Some(instruction.immediate32());
            }
            Mnemonic::Xor if to_eax && instruction.op1_register() == instruction.op0_register() => return Some(0),
            _ if to_eax => return None,
            _ => {}
        }
    }
    None
}
