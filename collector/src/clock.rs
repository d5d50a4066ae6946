//! Time stamp counter → time of day.
//!
//! Agents that may read the counter stamp their records with it: it costs a third of a clock call. The collector
//! compares it with the system's clocks again and again: the speed over an ever longer time, the offset each second
//! (so that a clock that is set is followed).

use crate::sys;
use nix::time::{ClockId, clock_gettime};
use porthole_common::record::Clock as Unit;

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// `HH:MM:SS` in this machine's time zone, with nanoseconds if they are wanted.
pub(crate) fn local_time(time_ns: u64, nanoseconds: bool) -> String {
    let [_, _, _, h, m, s] = sys::local((time_ns / 1_000_000_000) as i64);
    match nanoseconds {
        true => format!("{h:02}:{m:02}:{s:02}.{:09}", time_ns % 1_000_000_000),
        false => format!("{h:02}:{m:02}:{s:02}"),
    }
}

/// `YYYY-MM-DD HH:MM:SS` in this machine's time zone, with nanoseconds if they are wanted.
pub(crate) fn local_date(time_ns: u64, nanoseconds: bool) -> String {
    let [year, month, day, ..] = sys::local((time_ns / 1_000_000_000) as i64);
    format!("{year:04}-{month:02}-{day:02} {}", local_time(time_ns, nanoseconds))
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

#[derive(Clone, Copy)]
struct Sample {
    tsc: u64,
    steady_ns: u64,
    real_ns: u64,
}

impl Sample {
    fn take() -> Option<Sample> {
        // The counter is read before and after; the closest of a few tries has not been interrupted.
        (0..5)
            .filter_map(|_| {
                let before = sys::time_stamp_counter()?;
                let (steady_ns, real_ns) = (read(ClockId::CLOCK_MONOTONIC_RAW), now_ns());
                let after = sys::time_stamp_counter()?;
                Some((after.wrapping_sub(before), Sample { tsc: before + (after - before) / 2, steady_ns, real_ns }))
            })
            .min_by_key(|(took, _)| *took)
            .map(|(_, sample)| sample)
    }
}

/// The calibrated counter.
pub(crate) struct Clock {
    first: Option<Sample>,
    last: Option<Sample>,
    ns_per_tick: f64,
}

/// A record older than this is taken for nonsense: no ring holds back records for so long without its file's times
/// telling otherwise.
const OLDEST_NS: u64 = 30 * 24 * 3600 * 1_000_000_000;

impl Clock {
    /// Calibrates for a few milliseconds.
    pub fn start() -> Clock {
        let first = Sample::take();
        let mut clock = Clock { first, last: first, ns_per_tick: 0.0 };
        if first.is_some() {
            std::thread::sleep(std::time::Duration::from_millis(5));
            clock.anchor();
        }
        clock
    }

    /// Compares again; to be called about once a second.
    pub fn anchor(&mut self) {
        let (Some(first), Some(now)) = (self.first, Sample::take()) else { return };
        let (ticks, ns) = (now.tsc.saturating_sub(first.tsc), now.steady_ns.saturating_sub(first.steady_ns));
        if ticks > 0 && ns > 0 {
            self.ns_per_tick = ns as f64 / ticks as f64;
        }
        self.last = Some(now);
    }

    /// Nanoseconds of a span in a record's unit; `None` where that unit cannot be told.
    pub fn span_ns(&self, unit: u8, span: u64) -> Option<u64> {
        match unit {
            u if u == Unit::Tsc as u8 && self.ns_per_tick > 0.0 => Some((span as f64 * self.ns_per_tick) as u64),
            u if u == Unit::Realtime as u8 => Some(span),
            _ => None,
        }
    }

    /// The time of day of a record's time, read at `now_ns`. A record comes from the past, and not from a far one;
    /// everything else is given the time of reading.
    pub fn time_of_day(&self, unit: u8, time: u64, now_ns: u64) -> u64 {
        let ns = if unit == Unit::Tsc as u8 {
            match self.last {
                Some(anchor) if self.ns_per_tick > 0.0 => {
                    let offset = (time.wrapping_sub(anchor.tsc) as i64) as f64 * self.ns_per_tick;
                    anchor.real_ns.checked_add_signed(offset as i64).unwrap_or(now_ns)
                }
                _ => now_ns,
            }
        } else if unit == Unit::Realtime as u8 {
            time
        } else {
            now_ns
        };
        if ns <= now_ns && now_ns - ns < OLDEST_NS { ns } else { now_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_gives_the_time_of_day() {
        let clock = Clock::start();
        let Some(tsc) = sys::time_stamp_counter() else { return };
        let now = now_ns();
        let ns = clock.time_of_day(Unit::Tsc as u8, tsc, now + 1_000_000_000);
        assert!(ns.abs_diff(now) < 1_000_000, "{} ns off", ns.abs_diff(now));
    }

    #[test]
    fn absurd_times_become_the_time_of_reading() {
        let clock = Clock::start();
        let now = now_ns();
        for time in [0, 5, now + 1, u64::MAX, u64::MAX / 2] {
            for unit in [0, 1, 2, 77] {
                let t = clock.time_of_day(unit, time, now);
                assert!(t <= now && now - t < OLDEST_NS, "{unit} {time} gave {t}");
            }
        }
        assert_eq!(clock.time_of_day(0, now - 5, now), now - 5);
        assert_eq!(clock.time_of_day(2, 3, now), now);
    }
}
