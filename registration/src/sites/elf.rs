//! As much of an ELF file as the search for sites needs. The file comes out of an image: no offset is believed.

use porthole_common::sites::BUILD_ID;

const X86_64: u64 = 62;
const PT_LOAD: u64 = 1;
const PT_NOTE: u64 = 4;
const PF_X: u64 = 1;
const SHT_DYNSYM: u64 = 11;
const STT_FUNC: u64 = 2;
const NT_GNU_BUILD_ID: u64 = 3;
const SYMBOL: u64 = 24;
/// More headers or symbols than any C library has are not read.
const HEADERS: u64 = 128;
const SYMBOLS: u64 = 20_000;
/// No more of a segment of notes is read either.
const NOTES: u64 = 4096;

/// A file that begins like a 64-bit object for x86-64.
pub struct Object<'a>(&'a [u8]);

/// An executable segment, and the address of its first byte.
#[derive(Clone, Copy)]
pub struct Code<'a> {
    pub at: u64,
    pub bytes: &'a [u8],
}

/// An exported function.
pub struct Function<'a> {
    pub name: &'a str,
    pub at: u64,
    pub size: u64,
}

impl Function<'_> {
    pub fn contains(&self, address: u64) -> bool {
        (self.at..self.at.saturating_add(self.size)).contains(&address)
    }
}

impl<'a> Object<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Object<'a>> {
        let object = Object(bytes);
        let ours = bytes.starts_with(b"\x7fELF\x02\x01") && object.number(18, 2)? == X86_64;
        ours.then_some(object)
    }

    fn bytes(&self, at: u64, len: u64) -> Option<&'a [u8]> {
        self.0.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(len)?).ok()?)
    }

    fn number(&self, at: u64, len: u64) -> Option<u64> {
        Some(self.bytes(at, len)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// Where the headers of a table begin: `table` is the place of its offset, `sizes` that of entry size and count.
    fn headers(&self, table: u64, sizes: u64) -> impl Iterator<Item = u64> {
        let (start, size, count) = (self.number(table, 8), self.number(sizes, 2), self.number(sizes + 2, 2));
        let (start, size) = (start.unwrap_or(u64::MAX), size.unwrap_or(0));
        (0..count.unwrap_or(0).min(HEADERS)).filter_map(move |n| start.checked_add(n * size))
    }

    fn segments(&self, kind: u64) -> impl Iterator<Item = u64> {
        self.headers(32, 54).filter(move |at| self.number(*at, 4) == Some(kind))
    }

    /// The executable segment; `None` if there is more than one.
    pub fn code(&self) -> Option<Code<'a>> {
        let mut executable = self.segments(PT_LOAD).filter(|at| self.field(*at, 4, 4).is_some_and(|f| f & PF_X != 0));
        let header = executable.next()?;
        if executable.next().is_some() {
            return None;
        }
        let bytes = self.bytes(self.field(header, 8, 8)?, self.field(header, 32, 8)?)?;
        let at = self.field(header, 16, 8)?;
        // Addresses of a table have 32 bits.
        (at.checked_add(bytes.len() as u64)? <= u64::from(u32::MAX)).then_some(Code { at, bytes })
    }

    fn field(&self, header: u64, at: u64, len: u64) -> Option<u64> {
        self.number(header.checked_add(at)?, len)
    }

    /// The GNU build-id.
    pub fn build_id(&self) -> Option<[u8; BUILD_ID]> {
        self.segments(PT_NOTE).find_map(|header| {
            let (mut at, len) = (self.field(header, 8, 8)?, self.field(header, 32, 8)?);
            let end = at.checked_add(len.min(NOTES))?;
            while at < end {
                let (name, desc) = (self.field(at, 0, 4)?, self.field(at, 4, 4)?);
                let name_at = at.checked_add(12)?;
                let desc_at = name_at.checked_add(name.next_multiple_of(4))?;
                if self.field(at, 8, 4)? == NT_GNU_BUILD_ID && self.bytes(name_at, name)? == b"GNU\0" {
                    return self.bytes(desc_at, desc)?.try_into().ok();
                }
                at = desc_at.checked_add(desc.next_multiple_of(4))?;
            }
            None
        })
    }

    /// The functions that the object exports.
    pub fn functions(&self) -> Option<Vec<Function<'a>>> {
        let section = self.headers(40, 58).find(|at| self.field(*at, 4, 4) == Some(SHT_DYNSYM))?;
        let strings = self.headers(40, 58).nth(usize::try_from(self.field(section, 40, 4)?).ok()?)?;
        let names = self.bytes(self.field(strings, 24, 8)?, self.field(strings, 32, 8)?)?;
        let (start, size) = (self.field(section, 24, 8)?, self.field(section, 32, 8)?);
        let symbols = self.bytes(start, size)?;
        let count = symbols.len() as u64 / SYMBOL;
        if count > SYMBOLS {
            return None;
        }
        let function = |n: u64| {
            let symbol = start + n * SYMBOL;
            let (at, size) = (self.field(symbol, 8, 8)?, self.field(symbol, 16, 8)?);
            if self.field(symbol, 4, 1)? & 15 != STT_FUNC || at == 0 {
                return None;
            }
            let name = names.get(usize::try_from(self.field(symbol, 0, 4)?).ok()?..)?;
            // No name that matters is longer.
            let name = &name[..name.iter().take(64).position(|b| *b == 0)?];
            Some(Function { name: std::str::from_utf8(name).ok()?, at, size })
        };
        Some((0..count).filter_map(function).collect())
    }
}
