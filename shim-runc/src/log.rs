//! One line in the engine's log, in the runtime's own form.

use crate::args::Global;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Says that porthole stays out of something. Without `--log` there is nobody to tell: stderr belongs to the runtime.
pub fn warning(global: &Global, message: &str) {
    write(global, "warning", message);
}

/// Says why nothing can be started at all; to stderr as well.
pub fn error(global: &Global, message: &str) {
    eprintln!("porthole-runc: {message}");
    write(global, "error", message);
}

fn write(global: &Global, level: &str, message: &str) {
    let Some(path) = &global.log else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let line = line(global.log_json, level, &format!("porthole: {message}"), &rfc3339(now));
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o644).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY);
    // Nobody is left to be told about a log that cannot be written.
    let _ = options.open(path).and_then(|mut file| file.write_all(line.as_bytes()));
}

fn line(json: bool, level: &str, message: &str, time: &str) -> String {
    let quoted = serde_json::Value::from(message);
    if json {
        format!("{{\"level\":\"{level}\",\"msg\":{quoted},\"time\":\"{time}\"}}\n")
    } else {
        format!("time=\"{time}\" level={level} msg={quoted}\n")
    }
}

/// UTC, whole seconds (days to date as in "chrono-compatible low-level date algorithms" by H. Hinnant).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_the_runtimes() {
        let time = rfc3339(1_795_399_819);
        assert_eq!(
            line(true, "warning", "a \"b\"", &time),
            "{\"level\":\"warning\",\"msg\":\"a \\\"b\\\"\",\"time\":\"2026-11-23T02:10:19Z\"}\n"
        );
        assert_eq!(
            line(false, "warning", "x\ny", &time),
            "time=\"2026-11-23T02:10:19Z\" level=warning msg=\"x\\ny\"\n"
        );
    }

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
