//! A reader of bolt databases, which containerd and podman keep their containers in, while their owners write them.
//!
//! bolt never changes a page that its last committed state uses; a page is free again two commits later. A look at the
//! database is therefore true if the same commit is the last one before and after it, and is repeated otherwise. No lock
//! is taken: a reader that held one would keep the engine from starting containers.
//!
//! Every length and place is checked: a broken file, or one that changes meanwhile, costs a bounded look and says nothing.

use crate::trusted;
use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

pub(crate) const MAGIC: u32 = 0xED0C_DAED;
pub(crate) const VERSION: u32 = 2;
pub(crate) const HEADER: usize = 16;
const ELEMENT: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
pub(crate) const META: u16 = 4;
const IS_BUCKET: u32 = 1;
/// Levels of a tree: with 4 KiB pages, six hold more than any disk.
const DEPTH: u32 = 16;
/// Bytes that one look reads at most.
const EFFORT: u64 = 32 << 20;
/// Looks at a database that is written to again and again.
const TRIES: u32 = 8;

/// A database.
pub struct Database {
    file: File,
    page_size: u64,
}

/// The state of one commit.
pub struct Snapshot<'a> {
    db: &'a Database,
    root: Bucket,
    left: Cell<u64>,
}

/// A named set of keys.
#[derive(Clone)]
pub struct Bucket {
    root: u64,
    /// A small one lies in its parent.
    inline: Option<Rc<[u8]>>,
}

struct Commit {
    number: u64,
    root: u64,
}

impl Database {
    /// Opens a file that only its engine can write.
    pub fn open(path: &Path) -> Option<Database> {
        let file = trusted::open(path)?;
        let mut first = [0; 128];
        file.read_exact_at(&mut first, 0).ok()?;
        let page_size = u64::from(u32_at(&first, HEADER + 8)?);
        (512..=65536).contains(&page_size).then_some(Database { file, page_size })
    }

    /// What `look` finds in the last commit.
    pub fn read<T>(&self, look: impl Fn(&Snapshot<'_>) -> Option<T>) -> Option<T> {
        for _ in 0..TRIES {
            let before = self.last_commit()?;
            let root = Bucket { root: before.root, inline: None };
            let found = look(&Snapshot { db: self, root, left: Cell::new(EFFORT) });
            if self.last_commit()?.number == before.number {
                return found;
            }
        }
        None
    }

    fn last_commit(&self) -> Option<Commit> {
        let commits = [0, 1].map(|n| self.commit(n));
        commits.into_iter().flatten().max_by_key(|c| c.number)
    }

    /// One of the two pages that commits take turns in; one that is half written has a wrong sum.
    fn commit(&self, page: u64) -> Option<Commit> {
        let mut bytes = [0; HEADER + 64];
        self.file.read_exact_at(&mut bytes, page * self.page_size).ok()?;
        let meta = &bytes[HEADER..];
        let sound = u16_at(&bytes, 8)? == META
            && u32_at(meta, 0)? == MAGIC
            && u32_at(meta, 4)? == VERSION
            && u64::from(u32_at(meta, 8)?) == self.page_size
            && u64_at(meta, 56)? == fnv(&meta[..56]);
        sound.then_some(Commit { number: u64_at(meta, 48)?, root: u64_at(meta, 16)? })
    }
}

impl Snapshot<'_> {
    /// The bucket at this path of names.
    pub fn bucket(&self, path: &[&[u8]]) -> Option<Bucket> {
        path.iter().try_fold(self.root.clone(), |bucket, name| self.inner(&bucket, name))
    }

    /// A bucket of a bucket.
    pub fn inner(&self, bucket: &Bucket, name: &[u8]) -> Option<Bucket> {
        let (flags, value) = self.find(bucket, name)?;
        if flags & IS_BUCKET == 0 {
            return None;
        }
        let root = u64_at(&value, 0)?;
        let inline = if root == 0 { Some(value.get(16..)?.into()) } else { None };
        Some(Bucket { root, inline })
    }

    /// A value of a bucket.
    pub fn value(&self, bucket: &Bucket, key: &[u8]) -> Option<Vec<u8>> {
        let (flags, value) = self.find(bucket, key)?;
        (flags & IS_BUCKET == 0).then_some(value)
    }

    /// The same as text; empty if there is none.
    pub fn text(&self, bucket: &Bucket, key: &[u8]) -> String {
        self.value(bucket, key).and_then(|v| String::from_utf8(v).ok()).unwrap_or_default()
    }

    /// Keys and values of a bucket, without its buckets.
    pub fn pairs(&self, bucket: &Bucket) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        let whole = match &bucket.inline {
            Some(page) => leaf(page, &mut all),
            None => self.gather(bucket.root, DEPTH, &mut all),
        };
        if whole.is_none() {
            all.clear();
        }
        all
    }

    fn gather(&self, page: u64, depth: u32, all: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Option<()> {
        let bytes = self.page(page)?;
        match u16_at(&bytes, 8)? {
            LEAF => leaf(&bytes, all),
            BRANCH if depth > 0 => {
                for n in 0..usize::from(u16_at(&bytes, 10)?) {
                    self.gather(u64_at(&bytes, HEADER + n * ELEMENT + 8)?, depth - 1, all)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn find(&self, bucket: &Bucket, key: &[u8]) -> Option<(u32, Vec<u8>)> {
        if let Some(page) = &bucket.inline {
            return find_in_leaf(page, key);
        }
        let mut page = bucket.root;
        for _ in 0..DEPTH {
            let bytes = self.page(page)?;
            match u16_at(&bytes, 8)? {
                LEAF => return find_in_leaf(&bytes, key),
                BRANCH => page = child(&bytes, key)?,
                _ => return None,
            }
        }
        None
    }

    /// A page with what belongs to it. Its first words say which it is and how long.
    fn page(&self, number: u64) -> Option<Vec<u8>> {
        let at = number.checked_mul(self.db.page_size)?;
        let mut header = [0; HEADER];
        self.db.file.read_exact_at(&mut header, at).ok()?;
        let length = (1 + u64::from(u32_at(&header, 12)?)).checked_mul(self.db.page_size)?;
        let left = self.left.get().checked_sub(length)?;
        self.left.set(left);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.db.file.read_exact_at(&mut bytes, at).ok()?;
        (number > 1 && u64_at(&bytes, 0)? == number).then_some(bytes)
    }
}

/// The page below a branch that a key would be in: the last that does not start behind it.
fn child(branch: &[u8], key: &[u8]) -> Option<u64> {
    let mut found = None;
    for n in 0..usize::from(u16_at(branch, 10)?) {
        let at = HEADER + n * ELEMENT;
        let first = part(branch, at, u32_at(branch, at)?, u32_at(branch, at + 4)?)?;
        if found.is_some() && first > key {
            break;
        }
        found = Some(u64_at(branch, at + 8)?);
    }
    found
}

/// Flags, key and value of one element of a leaf.
fn element(leaf: &[u8], n: usize) -> Option<(u32, &[u8], &[u8])> {
    let at = HEADER + n * ELEMENT;
    let (place, key) = (u32_at(leaf, at + 4)?, u32_at(leaf, at + 8)?);
    let value = part(leaf, at, place.checked_add(key)?, u32_at(leaf, at + 12)?)?;
    Some((u32_at(leaf, at)?, part(leaf, at, place, key)?, value))
}

fn find_in_leaf(leaf: &[u8], key: &[u8]) -> Option<(u32, Vec<u8>)> {
    let all = (0..usize::from(u16_at(leaf, 10)?)).filter_map(|n| element(leaf, n));
    all.into_iter().find(|(_, k, _)| *k == key).map(|(flags, _, value)| (flags, value.to_vec()))
}

fn leaf(page: &[u8], all: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Option<()> {
    for n in 0..usize::from(u16_at(page, 10)?) {
        let (flags, key, value) = element(page, n)?;
        if flags & IS_BUCKET == 0 {
            all.push((key.to_vec(), value.to_vec()));
        }
    }
    Some(())
}

/// `length` bytes at `place`, counted from `element`.
fn part(bytes: &[u8], element: usize, place: u32, length: u32) -> Option<&[u8]> {
    let from = element.checked_add(place as usize)?;
    bytes.get(from..from.checked_add(length as usize)?)
}

pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
