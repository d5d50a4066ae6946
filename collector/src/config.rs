//! The configuration file: YAML as written, then a validated plan. Only the plan is executed.
//!
//! Unknown keys are errors with their line: a misspelled key must not look as if it worked. Those of falco.yaml that do
//! nothing here are read over with a notice. `docs/config.example.yaml` shows all others. The command line wins over the
//! environment (`PORTHOLE_STATE_DIR`), the environment over the file, the file over the defaults.

pub mod engines;

use crate::api::server::{self, Web};
use crate::container;
use crate::detect;
use crate::detect::config::{
    RawAppend, RawDrops, RawFile as RawFileOutput, RawHttp, RawProgram, RawQueue, RawSelect, RawStories, RawSwitch,
    Several,
};
use crate::error::Error;
use crate::format::Format;
use crate::hub;
use crate::redact::Redactor;
use engines::{Engines, RawEngines};
use porthole_registration::layout;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// Most events that `keep_events` may ask for.
const MAX_KEEP_EVENTS: usize = 1_000_000;

/// What `porthole collector` does: all decisions made, all values valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Directory of registered containers and of the API socket.
    pub state_dir: PathBuf,
    /// Events kept in memory for `porthole events`.
    pub keep_events: usize,
    /// JSON lines are appended to this file.
    pub file: Option<PathBuf>,
    /// How events are printed on standard output; `None` = not at all.
    pub stdout: Option<Format>,
    /// Health and metrics on a TCP port.
    pub web: Option<Web>,
    /// Rules and alerts, where there are rules.
    pub alerts: Option<detect::Plan>,
    /// Whether arguments are looked at by the default rules too, and by which of its own.
    pub redact: (bool, Vec<String>),
    /// Labels of containers whose value is longer are left out.
    pub label_max_len: usize,
    /// Which engines are looked at.
    pub engines: Engines,
    /// What is to be said of it.
    pub notices: Vec<String>,
}

/// What the command line says; `None` = nothing.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--events`.
    pub file: Option<PathBuf>,
    /// `--format`.
    pub format: Option<Format>,
    /// `--quiet`.
    pub quiet: bool,
    /// `--rules`.
    pub rules: Vec<PathBuf>,
    /// `--alerts`.
    pub alerts: Option<PathBuf>,
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    state_dir: Option<PathBuf>,
    keep_events: Option<usize>,
    outputs: RawOutputs,
    webserver: RawWeb,
    redact: RawRedact,
    label_max_len: Option<usize>,
    engines: RawEngines,
    #[serde(alias = "rules_file")]
    rules_files: Option<Several<PathBuf>>,
    rules: Vec<RawSelect>,
    priority: Option<String>,
    rule_matching: Option<String>,
    json_output: Option<bool>,
    json_include_output_property: Option<bool>,
    json_include_message_property: Option<bool>,
    json_include_output_fields_property: Option<bool>,
    json_include_tags_property: Option<bool>,
    time_format_iso_8601: Option<bool>,
    append_output: Vec<RawAppend>,
    static_fields: BTreeMap<String, String>,
    stdout_output: RawSwitch,
    syslog_output: RawSwitch,
    file_output: RawFileOutput,
    http_output: RawHttp,
    program_output: RawProgram,
    outputs_queue: RawQueue,
    alert_stories: RawStories,
    syscall_event_drops: RawDrops,
    watch_config_files: Option<bool>,
    // Falco's, about what porthole has none of
    base_syscalls: Ignored,
    buffered_outputs: Ignored,
    capture: Ignored,
    config_files: Ignored,
    container_engines: Ignored,
    engine: Ignored,
    falco_libs: Ignored,
    grpc: Ignored,
    grpc_output: Ignored,
    libs_logger: Ignored,
    load_plugins: Ignored,
    log_level: Ignored,
    log_stderr: Ignored,
    log_syslog: Ignored,
    metrics: Ignored,
    output_timeout: Ignored,
    plugins: Ignored,
    plugins_hostinfo: Ignored,
    rule_files: Ignored,
    syscall_event_timeouts: Ignored,
}

/// A key that is read over, with a notice.
type Ignored = Option<IgnoredAny>;

impl Raw {
    /// What is to be said of keys that do nothing here.
    fn notices(&self) -> Vec<String> {
        let all = [
            ("base_syscalls", &self.base_syscalls),
            ("buffered_outputs", &self.buffered_outputs),
            ("capture", &self.capture),
            ("config_files", &self.config_files),
            ("container_engines", &self.container_engines),
            ("engine", &self.engine),
            ("falco_libs", &self.falco_libs),
            ("grpc", &self.grpc),
            ("grpc_output", &self.grpc_output),
            ("libs_logger", &self.libs_logger),
            ("load_plugins", &self.load_plugins),
            ("log_level", &self.log_level),
            ("log_stderr", &self.log_stderr),
            ("log_syslog", &self.log_syslog),
            ("metrics", &self.metrics),
            ("output_timeout", &self.output_timeout),
            ("plugins", &self.plugins),
            ("plugins_hostinfo", &self.plugins_hostinfo),
            ("rule_files", &self.rule_files),
            ("syscall_event_timeouts", &self.syscall_event_timeouts),
            ("webserver.threadiness", &self.webserver.threadiness),
            ("webserver.prometheus_metrics_enabled", &self.webserver.prometheus_metrics_enabled),
            ("webserver.ssl_enabled", &self.webserver.ssl_enabled),
            ("webserver.ssl_certificate", &self.webserver.ssl_certificate),
        ];
        let there = all.iter().filter(|(_, value)| value.is_some());
        there.map(|(name, _)| format!("configuration: {name} is Falco's and does nothing here")).collect()
    }
}

/// What remains, without the keys about rules and alerts, and those.
fn split(raw: Raw) -> (Raw, detect::config::Raw) {
    let alerts = detect::config::Raw {
        rules_files: raw.rules_files,
        rules: raw.rules,
        priority: raw.priority,
        rule_matching: raw.rule_matching,
        json_output: raw.json_output,
        json_include_output_property: raw.json_include_output_property,
        json_include_message_property: raw.json_include_message_property,
        json_include_output_fields_property: raw.json_include_output_fields_property,
        json_include_tags_property: raw.json_include_tags_property,
        time_format_iso_8601: raw.time_format_iso_8601,
        append_output: raw.append_output,
        static_fields: raw.static_fields,
        stdout_output: raw.stdout_output,
        syslog_output: raw.syslog_output,
        file_output: raw.file_output,
        http_output: raw.http_output,
        program_output: raw.program_output,
        outputs_queue: raw.outputs_queue,
        alert_stories: raw.alert_stories,
        syscall_event_drops: raw.syscall_event_drops,
        watch_config_files: raw.watch_config_files,
    };
    let rest = Raw {
        state_dir: raw.state_dir,
        keep_events: raw.keep_events,
        outputs: raw.outputs,
        webserver: raw.webserver,
        redact: raw.redact,
        label_max_len: raw.label_max_len,
        engines: raw.engines,
        ..Raw::default()
    };
    (rest, alerts)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRedact {
    defaults: Option<bool>,
    patterns: Vec<String>,
}

/// Keys as in falco.yaml.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawWeb {
    enabled: bool,
    listen_address: Option<IpAddr>,
    listen_port: Option<u16>,
    k8s_healthz_endpoint: Option<String>,
    threadiness: Ignored,
    prometheus_metrics_enabled: Ignored,
    ssl_enabled: Ignored,
    ssl_certificate: Ignored,
}

impl RawWeb {
    fn plan(self) -> Result<Option<Web>, Error> {
        let healthz = self.k8s_healthz_endpoint.unwrap_or_else(|| server::HEALTHZ.into());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
        if !healthz.starts_with('/') || !healthz.bytes().all(plain) || ["/metrics", "/versions"].contains(&&*healthz) {
            let what = "is no path of its own, such as /healthz";
            return Err(Error::new(format!("webserver.k8s_healthz_endpoint: {healthz:?} {what}")));
        }
        let address = (self.listen_address.unwrap_or(Ipv4Addr::LOCALHOST.into()), self.listen_port.unwrap_or(PORT));
        Ok(self.enabled.then(|| Web { address: address.into(), healthz }))
    }
}

/// Falco's.
const PORT: u16 = 8765;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawOutputs {
    stdout: RawStdout,
    file: RawFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStdout {
    enabled: Option<bool>,
    format: Option<Format>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawFile {
    path: Option<PathBuf>,
}

impl Plan {
    /// The plan of a configuration file (if there is one) and the command line.
    ///
    /// # Errors
    /// When the file cannot be read or is no valid configuration; the text says where and what.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Plan, Error> {
        let Some(file) = file else { return Plan::new(Raw::default(), overrides) };
        let text = std::fs::read_to_string(file).map_err(|e| Error::io("read the configuration", file, e))?;
        Plan::parse(&text, overrides).map_err(|e| Error::new(format!("configuration {}: {e}", file.display())))
    }

    /// The plan of a configuration's text and the command line.
    ///
    /// # Errors
    /// When the text is no valid configuration.
    pub fn parse(text: &str, overrides: Overrides) -> Result<Plan, Error> {
        // a file of comments only holds no document
        let empty = text.lines().map(str::trim).all(|l| l.is_empty() || l.starts_with('#') || l == "---");
        let raw = if empty { Raw::default() } else { serde_saphyr::from_str(text).map_err(explain)? };
        Plan::new(raw, overrides)
    }

    fn new(raw: Raw, overrides: Overrides) -> Result<Plan, Error> {
        let notices = raw.notices();
        let (raw, alerts) = split(raw);
        let env = || std::env::var_os(layout::STATE_DIR_ENV).filter(|v| !v.is_empty()).map(PathBuf::from);
        let state_dir = overrides.state_dir.or_else(env).or(raw.state_dir).unwrap_or_else(layout::default_state_dir);
        let state_dir = absolute("state_dir", state_dir)?;
        let alerts = alerts.plan(overrides.rules, overrides.alerts, state_dir.clone())?;
        let keep_events = raw.keep_events.unwrap_or(hub::KEEP_EVENTS);
        if keep_events > MAX_KEEP_EVENTS {
            return Err(Error::new(format!("keep_events: {keep_events} is too many; at most {MAX_KEEP_EVENTS}")));
        }
        // with rules, standard output is for alerts
        let shown = raw.outputs.stdout.enabled.unwrap_or(alerts.is_none()) || overrides.format.is_some();
        let format = overrides.format.or(raw.outputs.stdout.format).unwrap_or_default();
        Ok(Plan {
            notices,
            state_dir,
            keep_events,
            file: overrides.file.or(raw.outputs.file.path).map(|p| absolute("outputs.file.path", p)).transpose()?,
            stdout: (shown && !overrides.quiet).then_some(format),
            web: raw.webserver.plan()?,
            alerts,
            label_max_len: raw.label_max_len.unwrap_or(container::LABEL_MAX_LEN),
            engines: raw.engines.plan()?,
            redact: {
                let (defaults, patterns) = (raw.redact.defaults.unwrap_or(true), raw.redact.patterns);
                Redactor::new(defaults, &patterns)?;
                (defaults, patterns)
            },
        })
    }
}

/// A path that stays the same whatever the working directory becomes.
fn absolute(key: &str, path: PathBuf) -> Result<PathBuf, Error> {
    std::path::absolute(&path).map_err(|e| Error::new(format!("{key}: {:?} is no path: {e}", path.display())))
}

fn explain(error: serde_saphyr::Error) -> Error {
    Error::new(error.to_string())
}

#[cfg(test)]
mod tests;
