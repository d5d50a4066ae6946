//! Which clock the agents of this machine use.

use porthole_common::record::Clock;
use std::io::Read;

/// The time stamp counter where it runs at one rate, in every sleep state and on every processor; the vDSO's clock
/// otherwise. The counter costs a third, and records are stamped on the hot path.
pub fn of_this_machine() -> Clock {
    // Only the first processor's paragraph: on large machines the whole file takes milliseconds to make.
    let mut text = [0u8; 4096];
    let read = std::fs::File::open("/proc/cpuinfo").and_then(|mut f| f.read(&mut text)).unwrap_or(0);
    choose(&String::from_utf8_lossy(&text[..read]))
}

fn choose(cpuinfo: &str) -> Clock {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag| flags.split_ascii_whitespace().any(|f| f == flag);
    if has("constant_tsc") && has("nonstop_tsc") { Clock::Tsc } else { Clock::Realtime }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_needs_both_promises() {
        assert_eq!(choose("model name : x\nflags\t: fpu constant_tsc nonstop_tsc\nflags : none"), Clock::Tsc);
        assert_eq!(choose("flags : constant_tsc"), Clock::Realtime);
        assert_eq!(choose("bugs : constant_tsc nonstop_tsc"), Clock::Realtime);
        assert_eq!(choose(""), Clock::Realtime);
    }
}
