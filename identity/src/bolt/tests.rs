use super::*;
use std::fs;
use std::path::PathBuf;

const PAGE: usize = 4096;

/// Pages of a database.
struct Pages(Vec<u8>);

impl Pages {
    fn put(&mut self, number: usize, bytes: &[u8]) {
        let end = (number + 1) * PAGE;
        self.0.resize(self.0.len().max(end), 0);
        self.0[number * PAGE..number * PAGE + bytes.len()].copy_from_slice(bytes);
    }

    fn meta(&mut self, number: usize, root: u64, commit: u64) {
        let mut meta = Vec::new();
        for n in [MAGIC, VERSION, PAGE as u32, 0] {
            meta.extend(n.to_le_bytes());
        }
        for n in [root, 0, 2, 100, commit] {
            meta.extend(n.to_le_bytes());
        }
        meta.extend(fnv(&meta).to_le_bytes());
        self.put(number, &[page(number as u64, META, 0), meta].concat());
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("porthole-bolt-{name}-{}", std::process::id()));
        fs::write(&path, &self.0).unwrap();
        path
    }
}

fn page(number: u64, flags: u16, count: u16) -> Vec<u8> {
    [&number.to_le_bytes()[..], &flags.to_le_bytes(), &count.to_le_bytes(), &[0; 4]].concat()
}

/// A leaf of (flags, key, value).
fn leaf_page(number: u64, elements: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
    let (mut heads, mut data) = (page(number, LEAF, elements.len() as u16), Vec::new());
    for (n, (flags, key, value)) in elements.iter().enumerate() {
        let place = (elements.len() - n) * ELEMENT + data.len();
        for word in [*flags, place as u32, key.len() as u32, value.len() as u32] {
            heads.extend(word.to_le_bytes());
        }
        data.extend([*key, *value].concat());
    }
    [heads, data].concat()
}

fn branch_page(number: u64, children: &[(&[u8], u64)]) -> Vec<u8> {
    let (mut heads, mut data) = (page(number, BRANCH, children.len() as u16), Vec::new());
    for (n, (key, child)) in children.iter().enumerate() {
        let place = (children.len() - n) * ELEMENT + data.len();
        heads.extend((place as u32).to_le_bytes());
        heads.extend((key.len() as u32).to_le_bytes());
        heads.extend(child.to_le_bytes());
        data.extend(*key);
    }
    [heads, data].concat()
}

fn bucket(root: u64) -> Vec<u8> {
    [root.to_le_bytes(), [0; 8]].concat()
}

/// Root: bucket `big` of two leaves below a branch, bucket `small` inside its parent, key `k`.
fn sample() -> Pages {
    let mut pages = Pages(Vec::new());
    pages.meta(0, 3, 7);
    pages.meta(1, 9, 6);
    let small = [bucket(0), leaf_page(0, &[(0, b"x", b"1"), (0, b"y", b"2")])].concat();
    pages.put(3, &leaf_page(3, &[(1, b"big", &bucket(4)), (0, b"k", b"v"), (1, b"small", &small)]));
    pages.put(4, &branch_page(4, &[(b"a", 5), (b"m", 6)]));
    pages.put(5, &leaf_page(5, &[(0, b"a", b"first"), (0, b"c", b"")]));
    pages.put(6, &leaf_page(6, &[(0, b"m", b"middle"), (1, b"n", &bucket(5)), (0, b"z", b"last")]));
    pages
}

fn look(path: &Path) -> Option<Vec<String>> {
    let db = Database::open(path)?;
    let found = db.read(|db| {
        let (big, small) = (db.bucket(&[b"big"])?, db.bucket(&[b"small"])?);
        let mut all: Vec<String> = [b"a", b"c", b"m", b"z", b"q"].iter().map(|k| db.text(&big, *k)).collect();
        all.push(db.text(&small, b"y"));
        all.push(db.pairs(&big).len().to_string() + &db.pairs(&small).len().to_string());
        all.push(db.text(&db.bucket(&[b"big", b"n"])?, b"a"));
        Some(all)
    });
    fs::remove_file(path).unwrap();
    found
}

#[test]
fn keys_are_found_in_leaves_branches_and_inner_buckets() {
    let want = ["first", "", "middle", "last", "", "2", "42", "first"];
    assert_eq!(look(&sample().file("whole")).unwrap(), want);
    // the commit that is half written does not count
    let mut pages = sample();
    pages.0[PAGE + HEADER + 48] = 99;
    assert_eq!(look(&pages.file("half")).unwrap(), want);
}

#[test]
fn broken_pages_say_nothing_and_end() {
    let whole = sample();
    // a page that refers to itself
    let mut circle = Pages(whole.0.clone());
    circle.put(4, &branch_page(4, &[(b"a", 4)]));
    assert_eq!(look(&circle.file("circle")), None);
    // each byte of the tree, and every length
    for at in (3 * PAGE..7 * PAGE).filter(|at| at % PAGE < 160) {
        let mut pages = Pages(whole.0.clone());
        pages.0[at] = pages.0[at].wrapping_sub(1);
        look(&pages.file("byte"));
    }
    for cut in [0, 10, PAGE, 3 * PAGE, 3 * PAGE + 20, 6 * PAGE + 50] {
        look(&Pages(whole.0[..cut].to_vec()).file("cut"));
    }
}
