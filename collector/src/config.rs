//! The configuration file: YAML as written, then a validated plan. Only the plan is executed.
//!
//! Every key does something today, and unknown keys are errors with their line: a misspelled key must not look as if
//! it worked. `docs/config.example.yaml` shows all of them. The command line wins over the environment
//! (`PORTHOLE_STATE_DIR`), the environment over the file, the file over the defaults.

pub mod engines;

use crate::api::server::{self, Web};
use crate::container;
use crate::detect;
use crate::detect::config::{
    RawAppend, RawFile as RawFileOutput, RawHttp, RawProgram, RawQueue, RawSelect, RawSwitch, Several,
};
use crate::error::Error;
use crate::format::Format;
use crate::hub;
use crate::redact::Redactor;
use engines::{Engines, RawEngines};
use porthole_registration::layout;
use serde::Deserialize;
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
        let (raw, alerts) = split(raw);
        let alerts = alerts.plan(overrides.rules, overrides.alerts)?;
        let env = || std::env::var_os(layout::STATE_DIR_ENV).filter(|v| !v.is_empty()).map(PathBuf::from);
        let state_dir = overrides.state_dir.or_else(env).or(raw.state_dir).unwrap_or_else(layout::default_state_dir);
        let keep_events = raw.keep_events.unwrap_or(hub::KEEP_EVENTS);
        if keep_events > MAX_KEEP_EVENTS {
            return Err(Error::new(format!("keep_events: {keep_events} is too many; at most {MAX_KEEP_EVENTS}")));
        }
        // with rules, standard output is for alerts
        let shown = raw.outputs.stdout.enabled.unwrap_or(alerts.is_none()) || overrides.format.is_some();
        let format = overrides.format.or(raw.outputs.stdout.format).unwrap_or_default();
        Ok(Plan {
            state_dir: absolute("state_dir", state_dir)?,
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
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Plan, String> {
        Plan::parse(text, Overrides::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_means_the_defaults() {
        for text in ["", "# only a comment\n", "---\n", "outputs: {}\n"] {
            let plan = parse(text).unwrap();
            assert_eq!((plan.keep_events, plan.file, plan.stdout), (10_000, None, Some(Format::Compact)), "{text:?}");
        }
    }

    #[test]
    fn every_key_arrives() {
        let plan = parse(
            "state_dir: /tmp/s\nkeep_events: 5\noutputs:\n  stdout: {enabled: true, format: json}\n  file:\n    path: /tmp/e\n",
        )
        .unwrap();
        assert_eq!((plan.keep_events, plan.stdout), (5, Some(Format::Json)));
        assert_eq!(parse("label_max_len: 7").unwrap().label_max_len, 7);
        assert_eq!(plan.file.as_deref(), Some(Path::new("/tmp/e")));
        assert_eq!(parse("outputs: {stdout: {enabled: false}}").unwrap().stdout, None);
    }

    #[test]
    fn the_command_line_wins() {
        let text = "state_dir: /a\noutputs: {stdout: {enabled: false, format: compact}, file: {path: /f}}";
        let with = |overrides| Plan::parse(text, overrides).unwrap();
        let dir = with(Overrides { state_dir: Some("/b".into()), ..Overrides::default() });
        assert_eq!(dir.state_dir, Path::new("/b"));
        let json = with(Overrides { format: Some(Format::Json), file: Some("/g".into()), ..Overrides::default() });
        assert_eq!((json.stdout, json.file.as_deref()), (Some(Format::Json), Some(Path::new("/g"))));
        let quiet = with(Overrides { format: Some(Format::Json), quiet: true, ..Overrides::default() });
        assert_eq!(quiet.stdout, None);
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_errors_with_their_line() {
        for (text, line, word) in [
            ("state_dir: /x\nkeep_event: 3\n", 2, "keep_event"),
            ("outputs:\n  file:\n    pth: /x\n", 3, "pth"),
            ("\n\nkeep_events: many\n", 3, "keep_events"),
            ("outputs:\n  stdout:\n    format: xml\n", 3, "xml"),
            ("keep_events: -1\n", 1, ""),
            ("keep_events: 1\nkeep_events: 2\n", 2, "keep_events"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("line {line}")) && error.contains(word), "{text:?}: {error}");
        }
        assert!(parse("keep_events: 1000001").unwrap_err().contains("at most 1000000"));
        assert!(parse("- a\n").is_err() && parse("{").is_err() && parse("\0").is_err());
    }

    #[test]
    fn engines_have_the_plugins_keys() {
        use porthole_identity::cgroup::Kind;
        let engines = |text: &str| parse(text).map(|plan| plan.engines);
        assert_eq!(engines("engines: {docker: {enabled: true}}").unwrap(), Engines::default());
        let some = engines("engines: {docker: {enabled: false}, libvirt_lxc: {enabled: false}}").unwrap();
        assert_eq!(some.without, [Kind::Docker, Kind::LibvirtLxc]);
        let fixed = engines("engines: {static: {enabled: true, container_id: i, container_image: 'a:1'}}").unwrap();
        let wanted = engines::Static { id: "i".into(), name: String::new(), image: "a:1".into() };
        assert_eq!(fixed.fixed, Some(wanted));
        assert_eq!(engines("engines: {static: {container_id: i}}").unwrap().fixed, None);
        assert!(engines("engines: {static: {enabled: true}}").unwrap_err().contains("container_id"));
        assert!(engines("engines: {dokcer: {enabled: true}}").unwrap_err().contains("dokcer"));
    }

    #[test]
    fn the_port_of_monitors_has_falcos_keys() {
        let web = |text: &str| Plan::parse(text, Overrides::default()).map(|plan| plan.web);
        assert_eq!(web("webserver: {listen_port: 1}").unwrap(), None);
        let on = web("webserver: {enabled: true}").unwrap().unwrap();
        assert_eq!((on.address.to_string(), &*on.healthz), ("127.0.0.1:8765".into(), "/healthz"));
        let v6 = web("webserver: {enabled: true, listen_address: '::', listen_port: 9}").unwrap().unwrap();
        assert_eq!(v6.address.to_string(), "[::]:9");
        for wrong in ["k8s_healthz_endpoint: alive", "k8s_healthz_endpoint: /metrics", "k8s_healthz_endpoint: '/{x}'"] {
            let error = web(&format!("webserver: {{enabled: true, {wrong}}}")).unwrap_err().to_string();
            assert!(error.contains("k8s_healthz_endpoint"), "{error}");
        }
    }

    #[test]
    fn the_documented_example_is_valid_and_shows_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.example.yaml");
        let example = Plan::load(Some(&path), Overrides::default()).unwrap();
        assert_eq!(example.file.as_deref(), Some(Path::new("/var/log/porthole/events.jsonl")));
        let defaults = Plan::load(None, Overrides::default()).unwrap();
        assert_eq!(Plan { file: None, ..example }, defaults);
    }
}
