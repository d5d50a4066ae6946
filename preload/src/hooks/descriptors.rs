//! Descriptors duplicated.

use super::calls;

calls! { after
    dup => Dup, Int;
    dup2 => Dup2, Int;
    dup3 => Dup3, Int;
}

// fcntl does many things; only duplicating is told.
calls! { duplicating
    fcntl => Fcntl, Duplicate;
    fcntl64 => Fcntl, Duplicate;
}

/// `F_DUPFD` is 0.
pub const F_DUPFD_CLOEXEC: i32 = 1030;

/// Whether a call of fcntl duplicates.
pub fn duplicates(command: usize) -> bool {
    command as i32 == 0 || command as i32 == F_DUPFD_CLOEXEC
}
