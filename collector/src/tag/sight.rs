//! What can be expected of a program that has been executed, by what the agent saw of it before.

use porthole_common::record::{Injection, Target};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It announces itself.
    Expected,
    /// It need not: why.
    Doubtful(&'static str),
    /// It cannot: why.
    Blind(&'static str),
}

/// `injection` is a number of [`Injection`].
pub(super) fn sight(target: Target, injection: u8) -> Sight {
    let by_target = match target {
        Target::Static => Sight::Blind("static"),
        Target::OtherArchitecture => Sight::Blind("other_architecture"),
        Target::WordSize => Sight::Blind("word_size"),
        Target::Asan => Sight::Blind("asan"),
        // no_new_privs takes the loader's caution away
        Target::Secure => Sight::Doubtful("setuid"),
        Target::FileCapabilities => Sight::Doubtful("file_capabilities"),
        // the loader needs no right to read
        Target::Unreadable => Sight::Doubtful("unreadable"),
        // a shell may take it, or an interpreter that the kernel has been told of
        Target::Other => Sight::Doubtful("unknown_format"),
        Target::Dynamic | Target::Unknown => Sight::Expected,
    };
    match Injection::from_number(injection) {
        Some(Injection::Absent) => Sight::Blind("environment_lost"),
        Some(Injection::Unreachable) => Sight::Blind("library_unreachable"),
        Some(Injection::Sandboxed) => Sight::Blind("sandboxed"),
        Some(Injection::NoDescriptor) => Sight::Blind("no_descriptor"),
        Some(Injection::Removed) if by_target == Sight::Expected => Sight::Blind("entry_removed"),
        _ => by_target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blindness_has_a_reason() {
        assert_eq!(sight(Target::Dynamic, Injection::Added as u8), Sight::Expected);
        assert_eq!(sight(Target::Static, Injection::Kept as u8), Sight::Blind("static"));
        assert_eq!(sight(Target::Secure, Injection::Kept as u8), Sight::Doubtful("setuid"));
        assert_eq!(sight(Target::Static, Injection::Absent as u8), Sight::Blind("environment_lost"));
        assert_eq!(sight(Target::Asan, Injection::Removed as u8), Sight::Blind("asan"));
        assert_eq!(sight(Target::Unknown, Injection::Removed as u8), Sight::Blind("entry_removed"));
        assert_eq!(sight(Target::Dynamic, 200), Sight::Expected, "of a later version");
    }
}
