//! The next definition of a function: what the program would have called without us, other preloaded libraries
//! included.
//!
//! Like `dlsym(RTLD_NEXT, …)`, but with nothing of the loader behind it: `dl_iterate_phdr` is walked once, in
//! initialisation, to note the objects that were loaded; after that a lookup reads their hash tables and takes no
//! lock, so that it may happen in a signal handler or in a vfork child. Answers are cached in one word per function;
//! two threads that look up at once store the same answer.

use crate::capture::c_str;
use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};

/// Objects kept, in the loader's order; the last place is the C library's, should it come later than that.
const MAX_OBJECTS: usize = 32;

/// One loaded object: base address and dynamic section.
struct Object {
    base: AtomicUsize,
    dynamic: AtomicUsize,
}

#[unsafe(link_section = ".data")]
static OBJECTS: [Object; MAX_OBJECTS] =
    [const { Object { base: AtomicUsize::new(0), dynamic: AtomicUsize::new(0) } }; MAX_OBJECTS];
/// How many of [`OBJECTS`] are filled in; 0 before the walk.
#[unsafe(link_section = ".data")]
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Which of them is the agent.
#[unsafe(link_section = ".data")]
static OURSELVES: AtomicUsize = AtomicUsize::new(0);
/// Which of them is the C library, + 1; 0 if none looks like it.
#[unsafe(link_section = ".data")]
static LIBC: AtomicUsize = AtomicUsize::new(0);
/// The agent's file name as the loader knows it: a NUL-terminated string that lives as long as the library.
#[unsafe(link_section = ".data")]
static OUR_NAME: AtomicUsize = AtomicUsize::new(0);

/// A function that a hook stands before, looked up at its first use. One word without an initial value: the library
/// has no data to be relocated or copied when it is loaded.
#[repr(transparent)]
pub struct Next {
    found: AtomicUsize,
}

const UNKNOWN: usize = 0;

impl Next {
    /// What the word holds when there is no next definition; 0 before it has been looked up, else the address.
    pub const NONE: usize = 1;

    /// Not looked up yet.
    pub const fn new() -> Next {
        Next { found: AtomicUsize::new(UNKNOWN) }
    }

    /// The address of the next definition of `name`, if there is one. Always asked with the same name.
    #[inline(always)]
    pub fn address(&self, name: &'static str) -> Option<usize> {
        match self.found.load(Relaxed) {
            UNKNOWN => self.look_up(name),
            Next::NONE => None,
            at => Some(at),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_up(&self, name: &'static str) -> Option<usize> {
        let found = definition(name.as_bytes());
        self.found.store(found.unwrap_or(Next::NONE), Relaxed);
        found
    }

    /// The C library's own function of that name, whoever else defines one: for what the agent calls for itself, where
    /// another library's definition might call us again.
    #[inline(always)]
    pub fn address_in_libc(&self, name: &'static str) -> Option<usize> {
        match self.found.load(Relaxed) {
            UNKNOWN => self.look_up_in_libc(name),
            Next::NONE => None,
            at => Some(at),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_up_in_libc(&self, name: &'static str) -> Option<usize> {
        let found = libc_symbol(name.as_bytes(), true);
        self.found.store(found.unwrap_or(Next::NONE), Relaxed);
        found
    }
}

/// The next definition of a function.
pub fn definition(name: &[u8]) -> Option<usize> {
    behind_us(name).or_else(|| {
        // musl since 1.2.4 has no names for large files and gives a program `fopen` for its `fopen64`; with us in
        // between, we have to.
        behind_us(name.strip_suffix(b"64")?)
    })
}

/// A symbol (function or variable) that the program sees under this name: the first definition of all objects.
pub fn global(name: &'static str) -> Option<usize> {
    walk_once();
    find(0..MAX_OBJECTS, name.as_bytes(), false)
}

/// A function that the C library itself defines.
pub fn in_libc(name: &'static str) -> Option<usize> {
    libc_symbol(name.as_bytes(), true)
}

fn behind_us(name: &[u8]) -> Option<usize> {
    walk_once();
    let first = OURSELVES.load(Relaxed) + 1;
    // Behind us is nothing when we were loaded later than the program: then the C library's.
    find(first..MAX_OBJECTS, name, true).or_else(|| libc_symbol(name, true))
}

fn libc_symbol(name: &[u8], function: bool) -> Option<usize> {
    walk_once();
    match LIBC.load(Relaxed) {
        0 => find(OURSELVES.load(Relaxed) + 1..MAX_OBJECTS, name, function),
        n => find(n - 1..n, name, function),
    }
}

/// The agent's own path as the loader was given it.
pub fn own_path() -> Option<&'static [u8]> {
    walk_once();
    let name = OUR_NAME.load(Relaxed) as *const c_char;
    if name.is_null() {
        return None;
    }
    // SAFETY: the loader's string for our own object, which is never unloaded.
    Some(unsafe { c_str(name, 256) })
}

fn find(among: core::ops::Range<usize>, name: &[u8], function: bool) -> Option<usize> {
    let hash = gnu_hash(name);
    let count = COUNT.load(Acquire);
    (among.start..among.end.min(count).min(MAX_OBJECTS)).find_map(|i| {
        let (base, dynamic) = (OBJECTS[i].base.load(Relaxed), OBJECTS[i].dynamic.load(Relaxed));
        // SAFETY: an object of the list that the loader gave; the objects loaded at start are never unloaded.
        unsafe { Symbols::of(base, dynamic)?.find(name, hash, function) }
    })
}

/// Notes the loaded objects. Running it twice at once is harmless: both write the same.
pub fn walk_once() {
    if COUNT.load(Acquire) == 0 {
        walk();
    }
}

/// Notes the loaded objects; their names.
pub fn walk() -> Walk {
    let mut walk = Walk { count: 0, names: [core::ptr::null(); MAX_OBJECTS] };
    let walker = dl_iterate_phdr_address();
    if walker == 0 {
        return walk;
    }
    // SAFETY: dl_iterate_phdr of the C library in this process, with the signature that the Linux Standard Base gives.
    let walker: DlIteratePhdr = unsafe { core::mem::transmute::<usize, DlIteratePhdr>(walker) };
    // SAFETY: `note` has the callback's signature and gets the `Walk` that outlives the call.
    unsafe { walker(note, (&raw mut walk).cast()) };
    COUNT.store(walk.count, Release);
    walk
}

/// What a walk has found.
pub struct Walk {
    count: usize,
    names: [*const c_char; MAX_OBJECTS],
}

impl Walk {
    /// The paths of the libraries that the loader has opened: not the program, the loader and ourselves, which it has
    /// not, or for us.
    pub fn libraries(&self) -> impl Iterator<Item = &'static [u8]> {
        const AT_BASE: c_ulong = 7;
        let loader = crate::start::auxiliary(AT_BASE).unwrap_or(0) as usize;
        self.names.iter().take(self.count).enumerate().skip(1).filter_map(move |(n, name)| {
            let ours = n == OURSELVES.load(Relaxed);
            if name.is_null() || ours || OBJECTS.get(n)?.base.load(Relaxed) == loader {
                return None;
            }
            // SAFETY: the loader's string for an object that is loaded at start and so never unloaded.
            let path = unsafe { c_str(*name, 256) };
            path.contains(&b'/').then_some(path) // the kernel's own library has a name without
        })
    }
}

/// `struct dl_phdr_info`, its first fields.
#[repr(C)]
struct PhdrInfo {
    base: usize,
    name: *const c_char,
    headers: *const ProgramHeader,
    header_count: u16,
}

/// `Elf64_Phdr`.
#[repr(C)]
pub struct ProgramHeader {
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_offset`.
    pub offset: u64,
    /// `p_vaddr`.
    pub address: u64,
    physical: u64,
    /// `p_filesz`.
    pub file_size: u64,
    memory_size: u64,
    align: u64,
}

type Callback = unsafe extern "C" fn(*const PhdrInfo, usize, *mut c_void) -> c_int;
type DlIteratePhdr = unsafe extern "C" fn(Callback, *mut c_void) -> c_int;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;

unsafe extern "C" fn note(info: *const PhdrInfo, _size: usize, walk: *mut c_void) -> c_int {
    // SAFETY: the loader gives a valid info, and `walk` is the one of `walk_once`.
    let (info, walk) = unsafe { (&*info, &mut *walk.cast::<Walk>()) };
    // SAFETY: the loader's table of this object.
    let headers = unsafe { core::slice::from_raw_parts(info.headers, usize::from(info.header_count)) };
    let here = note as *const () as usize;
    let (mut dynamic, mut end) = (0, 0);
    for h in headers {
        const PF_X: u32 = 1;
        if h.kind == PT_LOAD && h.flags & PF_X != 0 {
            end = info.base.wrapping_add((h.address + h.memory_size) as usize);
        }
    }
    for h in headers {
        let start = info.base.wrapping_add(h.address as usize);
        match h.kind {
            PT_DYNAMIC => dynamic = start,
            // SAFETY: a segment of the object.
            PT_NOTE => unsafe { notes(start, h.memory_size as usize, info.base, end) },
            PT_LOAD if (start..start.wrapping_add(h.memory_size as usize)).contains(&here) => {
                OURSELVES.store(walk.count, Relaxed);
                OUR_NAME.store(info.name as usize, Relaxed);
            }
            _ => {}
        }
    }
    // SAFETY: the loader's name of the object.
    let libc = is_libc(unsafe { c_str(info.name, 4096) });
    if walk.count < MAX_OBJECTS - 1 || walk.count == MAX_OBJECTS - 1 && libc {
        if libc && LIBC.load(Relaxed) == 0 {
            LIBC.store(walk.count + 1, Relaxed);
        }
        if let (Some(object), Some(name)) = (OBJECTS.get(walk.count), walk.names.get_mut(walk.count)) {
            *name = info.name;
            object.base.store(info.base, Relaxed);
            object.dynamic.store(dynamic, Relaxed);
        }
        walk.count += 1;
    }
    0
}

/// Whether the program is one of Go's, which calls the kernel itself.
#[unsafe(link_section = ".data")]
static GO: AtomicU32 = AtomicU32::new(0);

/// Whether the program makes system calls of its own, so that an exec need not pass through us.
pub fn bypasses_libc() -> bool {
    GO.load(Relaxed) != 0
}

/// Looks through an object's notes: for its build-id, and for Go's mark.
///
/// # Safety
/// `at` is a note segment of `len` bytes.
unsafe fn notes(at: usize, len: usize, base: usize, end: usize) {
    const GNU_BUILD_ID: u32 = 3;
    let mut offset = 0;
    while offset + 12 <= len {
        // SAFETY: inside the segment; `Elf64_Nhdr`: lengths of name and content, type.
        let [name_len, content_len, kind] = unsafe { *((at + offset) as *const [u32; 3]) };
        let (name, name_len) = (offset + 12, name_len as usize);
        let content = name + name_len.next_multiple_of(4);
        let next = content + (content_len as usize).next_multiple_of(4);
        if next > len {
            return;
        }
        // SAFETY: inside the segment.
        let bytes = |from: usize, len: usize| unsafe { core::slice::from_raw_parts((at + from) as *const u8, len) };
        match bytes(name, name_len) {
            b"GNU\0" if kind == GNU_BUILD_ID => crate::sites::note(bytes(content, content_len as usize), base, end),
            b"Go\0\0" => GO.store(1, Relaxed),
            _ => {}
        }
        offset = next;
    }
}

/// Whether a file of this name is the C library: `libc.so.6`, `libc-2.31.so`, `ld-musl-x86_64.so.1`.
fn is_libc(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    [&b"libc.so"[..], b"libc-2", b"libc.musl", b"ld-musl"].iter().any(|start| name.starts_with(start))
}

/// The only reference that the loader resolves for us: weak, without a version, null where there is none.
fn dl_iterate_phdr_address() -> usize {
    #[cfg(not(porthole_agent))]
    {
        0
    }
    #[cfg(porthole_agent)]
    {
        let at: usize;
        // SAFETY: loads one word of our own global offset table.
        unsafe {
            core::arch::asm!(
                ".weak dl_iterate_phdr",
                "mov {}, qword ptr [rip + dl_iterate_phdr@GOTPCREL]",
                out(reg) at,
                options(pure, readonly, nostack, preserves_flags)
            )
        };
        at
    }
}

/// The symbol tables of one object.
struct Symbols {
    base: usize,
    symbols: *const Symbol,
    strings: *const c_char,
    versions: *const u16,
    gnu: *const u32,
    sysv: *const u32,
}

/// `Elf64_Sym`.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

impl Symbols {
    /// # Safety
    /// `dynamic` is 0 or the dynamic section of an object mapped at `base`.
    unsafe fn of(base: usize, dynamic: usize) -> Option<Symbols> {
        let mut entry = dynamic as *const [usize; 2];
        if entry.is_null() {
            return None;
        }
        let (mut symbols, mut strings, mut versions, mut gnu, mut sysv) = (0, 0, 0, 0, 0);
        loop {
            // SAFETY: the section ends with a null entry.
            let [tag, value] = unsafe { *entry };
            // glibc relocates these pointers in place, musl and the vDSO do not
            let at = if value < base { base + value } else { value };
            match tag {
                0 => break,
                4 => sysv = at,
                5 => strings = at,
                6 => symbols = at,
                0x6fff_fef5 => gnu = at,
                0x6fff_fff0 => versions = at,
                _ => {}
            }
            // SAFETY: not the last entry.
            entry = unsafe { entry.add(1) };
        }
        (symbols != 0 && strings != 0).then_some(Symbols {
            base,
            symbols: symbols as *const Symbol,
            strings: strings as *const c_char,
            versions: versions as *const u16,
            gnu: gnu as *const u32,
            sysv: sysv as *const u32,
        })
    }

    /// # Safety
    /// The tables are those of a loaded object.
    unsafe fn find(&self, name: &[u8], hash: u32, function: bool) -> Option<usize> {
        if !self.gnu.is_null() {
            // SAFETY: the layout of DT_GNU_HASH: bucket count, first symbol, bloom words, shift, bloom, buckets, chain.
            unsafe {
                let (buckets, first, bloom, shift) = (*self.gnu, *self.gnu.add(1), *self.gnu.add(2), *self.gnu.add(3));
                if buckets == 0 || bloom == 0 {
                    return None;
                }
                let filter = *self.gnu.add(4).cast::<u64>().add((hash as usize / 64) % bloom as usize);
                if filter >> (hash % 64) & filter >> ((hash >> shift) % 64) & 1 == 0 {
                    return None;
                }
                let table = self.gnu.add(4 + 2 * bloom as usize);
                let chain = table.add(buckets as usize);
                let mut n = *table.add((hash % buckets) as usize);
                while n >= first && n != 0 {
                    let h = *chain.add((n - first) as usize);
                    if h | 1 == hash | 1
                        && let Some(at) = self.symbol(n as usize, name, function)
                    {
                        return Some(at);
                    }
                    if h & 1 != 0 {
                        return None;
                    }
                    n += 1;
                }
                return None;
            }
        }
        if self.sysv.is_null() {
            return None;
        }
        // SAFETY: the layout of DT_HASH: bucket count, chain count, buckets, chain.
        unsafe {
            let (buckets, count) = (*self.sysv, *self.sysv.add(1));
            if buckets == 0 {
                return None;
            }
            let chain = self.sysv.add(2 + buckets as usize);
            let mut n = *self.sysv.add(2 + (sysv_hash(name) % buckets) as usize);
            while n != 0 && n < count {
                if let Some(at) = self.symbol(n as usize, name, function) {
                    return Some(at);
                }
                n = *chain.add(n as usize);
            }
        }
        None
    }

    /// The address of symbol `n` if it is a visible definition of `name`.
    ///
    /// # Safety
    /// `n` is an index of the object's symbol table.
    unsafe fn symbol(&self, n: usize, name: &[u8], function: bool) -> Option<usize> {
        const HIDDEN: u16 = 0x8000;
        // SAFETY: see above; strings are NUL-terminated.
        unsafe {
            let s = &*self.symbols.add(n);
            const OBJECT: u8 = 1;
            const FUNCTION: u8 = 2;
            const CHOSEN_AT_START: u8 = 10; // STT_GNU_IFUNC: a function that gives the function
            let kind = s.info & 15;
            let wanted = matches!((kind, function), (FUNCTION | CHOSEN_AT_START, _) | (OBJECT, false));
            let hidden = !self.versions.is_null() && *self.versions.add(n) & HIDDEN != 0;
            let defined = s.section != 0 && s.value != 0 && wanted && !hidden;
            if !defined || c_str(self.strings.add(s.name as usize), 64) != name {
                return None;
            }
            let at = self.base.wrapping_add(s.value as usize);
            if kind == CHOSEN_AT_START {
                // The C library's choosers look at the processor's features, which the loader has found out before.
                let choose: extern "C" fn() -> usize = core::mem::transmute::<usize, extern "C" fn() -> usize>(at);
                return Some(choose());
            }
            Some(at)
        }
    }
}

fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381u32, |h, &c| h.wrapping_mul(33).wrapping_add(u32::from(c)))
}

fn sysv_hash(name: &[u8]) -> u32 {
    name.iter().fold(0u32, |h, &c| {
        let h = (h << 4).wrapping_add(u32::from(c));
        let high = h & 0xf000_0000;
        (h ^ high >> 24) & !high
    })
}
