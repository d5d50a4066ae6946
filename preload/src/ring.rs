//! The mapped ring of this process.
//!
//! A forked child that opens a session of its own keeps the old mapping (a signal handler may have interrupted a
//! writer that goes on later) and takes the other of two places here.

use crate::{sandbox, sys};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use porthole_common::limits::RING_HEADER;
use porthole_common::ring::producer::Shared;
use porthole_common::ring::{COST_OFFSET, HEAD_OFFSET, SAMPLES_OFFSET, TAIL_OFFSET};

/// One mapping.
pub struct Mapping {
    base: AtomicUsize,
    data_len: AtomicU32,
    /// Data bytes from the start that are known to have memory behind them. A page of a sparse file for which the
    /// file system has no room raises SIGBUS when it is touched; asking first turns that into an answer.
    prepared: AtomicU32,
    /// The tail that somebody has waited for in vain, with bit 32 set.
    given_up: AtomicU64,
}

#[unsafe(link_section = ".data")]
static PLACES: [Mapping; 2] = [const {
    Mapping {
        base: AtomicUsize::new(0),
        data_len: AtomicU32::new(0),
        prepared: AtomicU32::new(0),
        given_up: AtomicU64::new(0),
    }
}; 2];
/// 0 = no ring, else the place + 1.
#[unsafe(link_section = ".data")]
static CURRENT: AtomicUsize = AtomicUsize::new(0);

/// The ring that records go to.
#[inline(always)]
pub fn current() -> Option<&'static Mapping> {
    PLACES.get(CURRENT.load(Acquire).wrapping_sub(1))
}

/// From now on records go to the ring mapped at `base`.
pub fn switch_to(base: usize, data_len: usize, prepared: usize) {
    let place = if CURRENT.load(Relaxed) == 1 { 1 } else { 0 };
    let m = &PLACES[place];
    m.base.store(base, Relaxed);
    m.data_len.store(data_len as u32, Relaxed);
    m.prepared.store(prepared as u32, Relaxed);
    m.given_up.store(0, Relaxed);
    CURRENT.store(place + 1, Release);
}

/// Fetches memory for the whole ring, while asking for it is still allowed.
pub fn prepare_all() {
    if let Some(m) = current() {
        m.prepare(m.data_len.load(Relaxed));
    }
}

/// Bytes of the file that are allocated at a time, beyond its first page.
const GROWTH: usize = 16384;

/// Whether this kernel can allocate a mapping's pages later, and say so if it cannot: [`sys::MADV_POPULATE_WRITE`].
/// It refuses an unknown advice before it looks at the (empty) range.
pub fn grows() -> bool {
    sys::madvise(0, 0, sys::MADV_POPULATE_WRITE) == 0
}

impl Mapping {
    /// Start of the data.
    #[inline(always)]
    pub fn data(&self) -> usize {
        self.base.load(Relaxed) + RING_HEADER
    }

    /// Whether waiting for the reader makes sense: it has moved since somebody waited in vain.
    pub fn is_read(&self) -> bool {
        self.given_up.load(Relaxed) != self.mark()
    }

    /// The reader has not moved while somebody waited.
    pub fn not_read(&self) {
        self.given_up.store(self.mark(), Relaxed);
    }

    fn mark(&self) -> u64 {
        1 << 32 | u64::from(self.tail())
    }

    /// Start of the header page.
    pub fn base(&self) -> usize {
        self.base.load(Relaxed)
    }

    /// A sampled record took so long to write.
    #[cold]
    pub fn sampled(&self, time: u64) {
        self.word64(COST_OFFSET).fetch_add(time, Relaxed);
        self.word64(SAMPLES_OFFSET).fetch_add(1, Relaxed);
    }

    #[inline(always)]
    fn word64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: inside the mapping, which is never unmapped, and aligned.
        unsafe { &*((self.base.load(Relaxed) + offset) as *const AtomicU64) }
    }

    #[cold]
    fn fetch(&self, end: u32) -> bool {
        let from = self.prepared.load(Relaxed);
        let step = (end as usize + RING_HEADER).next_multiple_of(GROWTH) - RING_HEADER;
        let to = (step as u32).min(self.data_len.load(Relaxed));
        if sandbox::active() || to <= from {
            return to <= from;
        }
        // `from` ends on a page; the kernel rounds the end up to one
        let done = sys::madvise(self.data() + from as usize, (to - from) as usize, sys::MADV_POPULATE_WRITE) == 0;
        if done {
            self.prepared.fetch_max(to, Relaxed);
        }
        done
    }
}

impl Shared for Mapping {
    #[inline(always)]
    fn data_len(&self) -> u32 {
        self.data_len.load(Relaxed)
    }
    #[inline(always)]
    fn head(&self) -> u64 {
        self.word64(HEAD_OFFSET).load(Relaxed)
    }
    #[inline(always)]
    fn swap_head(&self, old: u64, new: u64) -> Result<(), u64> {
        self.word64(HEAD_OFFSET).compare_exchange_weak(old, new, Relaxed, Relaxed).map(drop)
    }
    #[inline(always)]
    fn tail(&self) -> u32 {
        // SAFETY: as in `word64`.
        unsafe { &*((self.base.load(Relaxed) + TAIL_OFFSET) as *const AtomicU32) }.load(Acquire)
    }
    #[inline(always)]
    fn prepare(&self, end: u32) -> bool {
        end <= self.prepared.load(Relaxed) || self.fetch(end)
    }
    #[inline(always)]
    fn commit(&self, offset: u32, word: u64) {
        self.word64(RING_HEADER + offset as usize).store(word, Release);
    }
}
