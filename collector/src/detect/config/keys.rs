//! What the configuration says of where alerts go and what becomes of them.

use super::absolute;
use crate::detect::outputs::Target;
use crate::detect::outputs::http::{self, Setup, Trust};
use crate::detect::{drops, stories};
use crate::error::Error;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSwitch {
    pub enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawFile {
    pub enabled: bool,
    pub keep_alive: bool,
    pub filename: Option<PathBuf>,
}

/// An empty text is as good as none, as in falco.yaml.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawHttp {
    pub enabled: bool,
    url: String,
    user_agent: Option<String>,
    insecure: bool,
    ca_cert: PathBuf,
    ca_bundle: PathBuf,
    ca_path: PathBuf,
    mtls: bool,
    client_cert: PathBuf,
    client_key: PathBuf,
    echo: bool,
    compress_uploads: bool,
    keep_alive: bool,
    max_consecutive_timeouts: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawProgram {
    pub enabled: bool,
    pub keep_alive: bool,
    pub program: String,
}

impl RawHttp {
    pub fn target(self, json: bool) -> Result<Target, Error> {
        let named = |path: PathBuf| Some(path).filter(|p| !p.as_os_str().is_empty()).map(absolute).transpose();
        let client = match (self.mtls, named(self.client_cert)?, named(self.client_key)?) {
            (false, ..) => None,
            (true, Some(cert), Some(key)) => Some((cert, key)),
            _ => return Err(Error::new("http_output.mtls is on: it needs client_cert and client_key")),
        };
        let setup = Setup {
            url: self.url,
            user_agent: self.user_agent.unwrap_or_else(|| USER_AGENT.into()),
            trust: Trust {
                anybody: self.insecure,
                file: named(self.ca_cert)?.or(named(self.ca_bundle)?),
                directory: named(self.ca_path)?,
                client,
            },
            echo: self.echo,
            compress: self.compress_uploads,
            keep_alive: self.keep_alive,
            timeouts: self.max_consecutive_timeouts.unwrap_or(TIMEOUTS).into(),
            json,
        };
        http::shown(&setup)?;
        Ok(Target::Http(Box::new(setup)))
    }
}

/// Who asks, unless the configuration says otherwise. Falco's own is `falcosecurity/falco`.
const USER_AGENT: &str = concat!("porthole/", env!("CARGO_PKG_VERSION"));
/// Falco's.
const TIMEOUTS: u8 = 5;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawQueue {
    pub capacity: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawDrops {
    threshold: Option<f64>,
    actions: Option<Vec<String>>,
    rate: Option<f64>,
    max_burst: Option<f64>,
    // for tests of Falco itself
    #[allow(dead_code)]
    simulate_drops: bool,
}

impl RawDrops {
    pub fn plan(self) -> Result<drops::Plan, Error> {
        let defaults = drops::Plan::default();
        let number = |name: &str, value: Option<f64>, default: f64, most: f64| match value.unwrap_or(default) {
            n if (0.0..=most).contains(&n) => Ok(n),
            n => Err(Error::new(format!("syscall_event_drops.{name}: {n} is not between 0 and {most}"))),
        };
        let (mut alert, mut log) = (self.actions.is_none(), self.actions.is_none());
        for action in self.actions.unwrap_or_default() {
            match action.as_str() {
                "alert" => alert = true,
                "log" => log = true,
                // a collector that ends sees less than one that has lost something
                "ignore" | "exit" => {}
                _ => {
                    let what = "is none of ignore, log, alert, exit";
                    return Err(Error::new(format!("syscall_event_drops.actions: {action:?} {what}")));
                }
            }
        }
        Ok(drops::Plan {
            threshold: number("threshold", self.threshold, defaults.threshold, 1.0)?,
            rate: number("rate", self.rate, defaults.rate, 1e6)?,
            burst: number("max_burst", self.max_burst, defaults.burst, 1e6)?,
            alert,
            log,
        })
    }
}

/// Ours: Falco keeps nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawStories {
    enabled: Option<bool>,
    keep: Option<usize>,
    keep_mib: Option<usize>,
    records: Option<usize>,
}

impl RawStories {
    /// `dir`: where they are kept.
    pub fn plan(self, dir: PathBuf) -> Option<stories::Plan> {
        self.enabled.unwrap_or(true).then(|| stories::Plan {
            keep: self.keep.unwrap_or(stories::KEEP).min(100_000),
            bytes: self.keep_mib.map_or(stories::BYTES, |mib| mib.min(1024) << 20),
            records: self.records.unwrap_or(stories::RECORDS),
            dir: Some(dir),
        })
    }
}
