//! Which of containerd's files decides about runtimes.
//!
//! `imports` names more files, by patterns too. containerd 1.x takes the whole section of a plugin from the last file that
//! has one; later ones merge. Either way what stands in that last file counts.

use super::{containerd, read};
use crate::error::Error;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item};

/// Files that are followed.
const MOST: usize = 64;

/// The main file, and all it imports, in the order in which containerd reads them.
pub fn files(main: &Path) -> Result<Vec<(PathBuf, DocumentMut)>, Error> {
    let (mut found, mut seen, mut next) = (vec![], BTreeSet::new(), vec![main.to_owned()]);
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) || seen.len() > MOST {
            continue;
        }
        let Some(text) = read(&path)? else { continue };
        let config = containerd::parse(&text, &path)?;
        let imports = config.get("imports").and_then(Item::as_array);
        let named = imports.into_iter().flatten().filter_map(|pattern| pattern.as_str());
        let mut named: Vec<PathBuf> = named.flat_map(|pattern| matching(&path, pattern)).collect();
        named.reverse();
        next.extend(named);
        found.push((path, config));
    }
    Ok(found)
}

/// The one to be changed: the last one that says something about containers.
pub fn deciding(main: &Path) -> Result<PathBuf, Error> {
    let files = files(main)?;
    let deciding = files.iter().rev().find(|(_, config)| containerd::has_section(config));
    Ok(deciding.map_or_else(|| main.to_owned(), |(path, _)| path.clone()))
}

/// Files of a pattern, which may be relative to the file that it stands in.
fn matching(of: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = of.parent().unwrap_or(Path::new("/")).join(pattern);
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.contains(['*', '?']) {
        return vec![pattern];
    }
    let dir = pattern.parent().unwrap_or(Path::new("/"));
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| fits(name.as_bytes(), entry.file_name().as_encoded_bytes()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|n| fits(rest, &name[n..])),
        Some((byte, rest)) => {
            name.split_first().is_some_and(|(n, name)| (byte == n || *byte == b'?') && fits(rest, name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, fit) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.tom", false),
            ("a?c", "abc", true),
            ("*", "", true),
            ("a*b*", "axb", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), fit, "{pattern} {name}");
        }
    }
}
