//! What fits on the screen.

use std::os::fd::AsFd;

/// Narrowest terminal that is written for.
const NARROWEST: usize = 40;

/// Columns of the terminal behind a stream; `None`: it is none, and nothing is to be cut.
pub fn columns(stream: &impl AsFd) -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(stream.as_fd())?;
    // one that does not know how wide it is says 0
    Some(usize::from(columns)).filter(|n| *n > 0).map(|n| n.max(NARROWEST))
}
