//! Bounded reading of the caller's memory.

use core::ffi::c_char;

/// The string at `p` without its NUL, cut at `max` bytes; empty for null.
///
/// # Safety
/// `p` is null or a NUL-terminated string that stays as it is for `'a`.
#[inline(always)]
pub unsafe fn c_str<'a>(p: *const c_char, max: usize) -> &'a [u8] {
    if p.is_null() {
        return &[];
    }
    let mut n = 0;
    // SAFETY: not past the NUL.
    while n < max && unsafe { *p.add(n) } != 0 {
        n += 1;
    }
    // SAFETY: these bytes were just read.
    unsafe { core::slice::from_raw_parts(p.cast(), n) }
}

/// What follows `name` in a string that starts with it, cut at `max` bytes. Of any other string only the first bytes are
/// read: environments are long, and every program's start looks through its own.
///
/// # Safety
/// As for [`c_str`], and `p` is not null.
#[inline(always)]
pub unsafe fn behind<'a>(p: *const c_char, name: &[u8], max: usize) -> Option<&'a [u8]> {
    for (n, &byte) in name.iter().enumerate() {
        // SAFETY: not past the NUL, which no byte of a name equals.
        if unsafe { *p.add(n) } as u8 != byte {
            return None;
        }
    }
    // SAFETY: as above; the string goes on here.
    Some(unsafe { c_str(p.add(name.len()), max) })
}

/// [`c_str`] sixteen bytes at a time, for strings on the hot path. The registers that it uses are the first two vector
/// registers' lower halves, as every function may; the C library's own would also touch their upper halves, which a
/// system call keeps.
///
/// # Safety
/// As for [`c_str`].
#[inline(always)]
pub unsafe fn path_str<'a>(p: *const c_char, max: usize) -> &'a [u8] {
    if p.is_null() {
        return &[];
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: aligned loads stay on the page of a byte of the string, up to the NUL.
    unsafe {
        use core::arch::x86_64::*;
        let offset = p as usize & 15;
        let mut block = p.cast::<u8>().wrapping_sub(offset).cast::<__m128i>();
        let zeros = |block: *const __m128i| {
            _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(block), _mm_setzero_si128())) as u32
        };
        let mut found = zeros(block) >> offset << offset;
        while found == 0 && block as usize + 16 - (p as usize) < max {
            block = block.add(1);
            found = zeros(block);
        }
        let len = (block as usize).wrapping_sub(p as usize).wrapping_add(found.trailing_zeros() as usize);
        core::slice::from_raw_parts(p.cast(), if found == 0 { max } else { len.min(max) })
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        c_str(p, max)
    }
}

/// A null-terminated array of strings, as `argv` and `envp` are.
#[derive(Clone, Copy)]
pub struct Strings {
    array: *const *const c_char,
}

impl Strings {
    /// # Safety
    /// `array` is null or a null-terminated array of NUL-terminated strings that outlives the value.
    pub unsafe fn new(array: *const *const c_char) -> Strings {
        Strings { array }
    }

    /// The array itself.
    pub fn array(&self) -> *const *const c_char {
        self.array
    }

    /// Whether the array and every pointer in it can be addresses of a program. The kernel refuses others with EFAULT;
    /// we must not read them before it does.
    pub fn plausible(&self) -> bool {
        // Linux maps nothing below this (mmap_min_addr's default) nor, for a program, above the canonical half.
        let address = |p: usize| (0x1_0000..0x7fff_ffff_f000).contains(&p);
        self.array.is_null()
            || address(self.array as usize)
                && (self.array as usize).is_multiple_of(align_of::<*const c_char>())
                && (0..).map(|n| self.pointer(n) as usize).take_while(|&p| p != 0).all(address)
    }

    /// The pointer at `n`, null at the end. Only to be asked for up to the first null.
    pub fn pointer(&self, n: usize) -> *const c_char {
        if self.array.is_null() {
            return core::ptr::null();
        }
        // SAFETY: see `new`.
        unsafe { *self.array.add(n) }
    }

    /// How many strings there are.
    pub fn count(&self) -> usize {
        let mut n = 0;
        while !self.pointer(n).is_null() {
            n += 1;
        }
        n
    }

    /// The strings, each cut at `max` bytes.
    pub fn iter<'a>(&self, max: usize) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let me = *self;
        (0..).map_while(move |n| {
            let p = me.pointer(n);
            // SAFETY: see `new`.
            (!p.is_null()).then(|| unsafe { c_str(p, max) })
        })
    }

    /// How many strings, from the first on, fit into `bytes` bytes and `count` places, and their total length.
    pub fn fitting(&self, bytes: usize, count: usize) -> (usize, usize) {
        let (mut n, mut total) = (0, 0);
        for s in self.iter(bytes + 1).take(count) {
            if total + s.len() > bytes {
                break;
            }
            total += s.len();
            n += 1;
        }
        (n, total)
    }
}

/// `prefix` and `parts` one after the other into `buf`, NUL-terminated; `None` if they do not fit.
#[inline(never)]
pub fn join<'a>(buf: &'a mut [u8], parts: &[&[u8]]) -> Option<&'a [u8]> {
    let mut n = 0;
    for part in parts {
        buf.get_mut(n..n + part.len())?.copy_from_slice(part);
        n += part.len();
    }
    *buf.get_mut(n)? = 0;
    buf.get(..n)
}
