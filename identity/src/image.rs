//! References to images: `[registry[:port]/]repository[:tag][@digest]`.

/// A reference, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image<'a> {
    /// With registry, without tag and digest.
    pub repository: &'a str,
    /// Empty = none.
    pub tag: &'a str,
    /// `sha256:…`; empty = none.
    pub digest: &'a str,
}

impl Image<'_> {
    /// Takes a reference apart; a colon before the last slash belongs to a port.
    pub fn parse(reference: &str) -> Image<'_> {
        let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
        match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Image { repository, tag, digest },
            _ => Image { repository: name, tag: "", digest },
        }
    }
}

/// The hexadecimal part of an id, if this is one and no name: `sha256:…`, or at least twelve digits.
pub fn as_id(image: &str) -> Option<&str> {
    let hex = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match image.strip_prefix("sha256:") {
        Some(id) => (!id.is_empty() && hex(id)).then_some(id),
        None => ((12..=64).contains(&image.len()) && hex(image)).then_some(image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_come_apart() {
        for (image, want) in [
            ("busybox", ("busybox", "", "")),
            ("busybox:1.36", ("busybox", "1.36", "")),
            ("localhost:5000/a/b", ("localhost:5000/a/b", "", "")),
            ("localhost:5000/a/b:v1@sha256:00ff", ("localhost:5000/a/b", "v1", "sha256:00ff")),
            ("", ("", "", "")),
        ] {
            let i = Image::parse(image);
            assert_eq!((i.repository, i.tag, i.digest), want);
        }
    }

    #[test]
    fn ids_are_told_from_names() {
        for (image, id) in [
            ("sha256:00ff", Some("00ff")),
            ("0123456789ab", Some("0123456789ab")),
            ("deadbeef", None),
            ("busybox", None),
            ("sha256:", None),
            ("0123456789ab:1", None),
        ] {
            assert_eq!(as_id(image), id, "{image}");
        }
    }
}
