//! What falco.yaml says of rules and alerts, under its own names.

mod keys;

use super::alert::Style;
use super::outputs::{self, Target};
use super::{drops, stories};
use crate::error::Error;
pub(crate) use keys::{RawDrops, RawFile, RawHttp, RawProgram, RawQueue, RawStories, RawSwitch};
use porthole_rules::load::Priority;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Rules, alerts, outputs: all decisions made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rules files and directories of them, in their order.
    pub files: Vec<PathBuf>,
    /// The least bad rules that are judged.
    pub priority: Priority,
    /// Every rule that is true makes an alert, not only the first.
    pub all_matches: bool,
    /// What is switched on and off, in this order.
    pub select: Vec<Select>,
    /// What is appended to outputs.
    pub append: Vec<Append>,
    /// Constants, `static.NAME` in outputs.
    pub statics: BTreeMap<String, String>,
    /// What alerts look like.
    pub style: Style,
    /// Where they go.
    pub outputs: outputs::Plan,
    /// What is kept of them.
    pub stories: Option<stories::Plan>,
    /// When an alert tells that records are missing.
    pub drops: drops::Plan,
    /// `watch_config_files`: files that change are loaded again.
    pub watch: bool,
}

impl Plan {
    /// The program that alerts go to, if they go to one.
    pub fn program(&self) -> Option<&str> {
        self.outputs.targets.iter().find_map(|target| match target {
            Target::Program { command, .. } => Some(command.as_str()),
            _ => None,
        })
    }

    /// These files, all else as by default; alerts go to `target`.
    pub fn of(files: Vec<PathBuf>, target: Target) -> Plan {
        Plan {
            files,
            priority: Priority::Debug,
            all_matches: false,
            select: vec![],
            append: vec![],
            statics: BTreeMap::new(),
            style: Style::default(),
            outputs: outputs::Plan { targets: vec![target], capacity: outputs::CAPACITY },
            stories: None,
            drops: drops::Plan::default(),
            watch: true,
        }
    }
}

/// Rules that are switched on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// On or off.
    pub enable: bool,
    /// By their names, a pattern.
    pub rule: Option<String>,
    /// By a tag.
    pub tag: Option<String>,
}

/// What is appended to the outputs of some rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// The rule, all if `None`.
    pub rule: Option<String>,
    /// Of this source.
    pub source: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Text with fields.
    pub output: Option<String>,
    /// More members of `output_fields`.
    pub fields: Vec<Extra>,
    /// Whether the suggested fields are appended.
    pub suggested: Option<bool>,
}

/// One more member of `output_fields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Its key.
    pub name: String,
    /// Its value.
    pub format: String,
    /// It is a field by itself, and keeps its type.
    pub plain: bool,
}

/// One, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Several<T> {
    One(T),
    All(Vec<T>),
}

impl<T> Several<T> {
    fn all(self) -> Vec<T> {
        match self {
            Several::One(one) => vec![one],
            Several::All(all) => all,
        }
    }
}

/// The keys as written.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub(crate) struct Raw {
    pub rules_files: Option<Several<PathBuf>>,
    pub rules: Vec<RawSelect>,
    pub priority: Option<String>,
    pub rule_matching: Option<String>,
    pub json_output: Option<bool>,
    pub json_include_output_property: Option<bool>,
    pub json_include_message_property: Option<bool>,
    pub json_include_output_fields_property: Option<bool>,
    pub json_include_tags_property: Option<bool>,
    pub time_format_iso_8601: Option<bool>,
    pub append_output: Vec<RawAppend>,
    pub static_fields: BTreeMap<String, String>,
    pub stdout_output: RawSwitch,
    pub syslog_output: RawSwitch,
    pub file_output: RawFile,
    pub http_output: RawHttp,
    pub program_output: RawProgram,
    pub outputs_queue: RawQueue,
    pub alert_stories: RawStories,
    pub syscall_event_drops: RawDrops,
    pub watch_config_files: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum RawSelect {
    Enable(RawWhich),
    Disable(RawWhich),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawWhich {
    rule: Option<String>,
    tag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawAppend {
    r#match: RawMatch,
    extra_output: Option<String>,
    extra_fields: Vec<RawExtra>,
    suggested_output: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawMatch {
    rule: Option<String>,
    source: Option<String>,
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawExtra {
    Field(String),
    Named(BTreeMap<String, String>),
}

impl Raw {
    /// The plan; `None` without rules. `files` of the command line take the place of the configuration's.
    pub fn plan(self, files: Vec<PathBuf>, alerts: Option<PathBuf>, state_dir: PathBuf) -> Result<Option<Plan>, Error> {
        let listed = self.rules_files.map(Several::all).unwrap_or_default();
        let files = if files.is_empty() { listed } else { files };
        if files.is_empty() {
            return Ok(None);
        }
        let mut targets = vec![];
        if self.stdout_output.enabled.unwrap_or(alerts.is_none()) {
            targets.push(Target::Stdout);
        }
        if let Some(path) = alerts {
            targets.push(Target::File { path: absolute(path)?, keep_open: true });
        }
        if self.syslog_output.enabled.unwrap_or(false) {
            targets.push(Target::Syslog);
        }
        if self.file_output.enabled {
            let Some(path) = self.file_output.filename else {
                return Err(Error::new("file_output is enabled: it needs a filename"));
            };
            targets.push(Target::File { path: absolute(path)?, keep_open: self.file_output.keep_alive });
        }
        let defaults = Style::default();
        let json = self.json_output.unwrap_or(defaults.json);
        if self.http_output.enabled {
            targets.push(self.http_output.target(json)?);
        }
        if self.program_output.enabled {
            let RawProgram { keep_alive, program: command, .. } = self.program_output;
            if command.trim().is_empty() {
                return Err(Error::new("program_output is enabled: it needs a program"));
            }
            targets.push(Target::Program { command, keep_alive });
        }
        Ok(Some(Plan {
            files: files.into_iter().map(absolute).collect::<Result<_, _>>()?,
            priority: match self.priority {
                None => Priority::Debug,
                Some(text) => Priority::of(&text).ok_or_else(|| {
                    let names = Priority::ALL.map(|p| p.as_str().to_lowercase()).join(", ");
                    Error::new(format!("priority: there is no {text:?}; it is one of {names}"))
                })?,
            },
            all_matches: match self.rule_matching.as_deref() {
                None | Some("first") => false,
                Some("all") => true,
                Some(other) => return Err(Error::new(format!("rule_matching: {other:?} is neither first nor all"))),
            },
            select: self.rules.into_iter().map(select).collect::<Result<_, _>>()?,
            append: self.append_output.into_iter().map(append).collect(),
            statics: self.static_fields,
            style: Style {
                json,
                output: self.json_include_output_property.unwrap_or(defaults.output),
                message: self.json_include_message_property.unwrap_or(defaults.message),
                fields: self.json_include_output_fields_property.unwrap_or(defaults.fields),
                tags: self.json_include_tags_property.unwrap_or(defaults.tags),
                iso_8601: self.time_format_iso_8601.unwrap_or(defaults.iso_8601),
            },
            outputs: outputs::Plan {
                targets,
                // 0 is Falco's word for no bound, which nothing here has
                capacity: self.outputs_queue.capacity.filter(|n| *n > 0).unwrap_or(outputs::CAPACITY).min(1_000_000),
            },
            stories: self.alert_stories.plan(state_dir),
            drops: self.syscall_event_drops.plan()?,
            watch: self.watch_config_files.unwrap_or(true),
        }))
    }
}

fn select(raw: RawSelect) -> Result<Select, Error> {
    let (enable, which) = match raw {
        RawSelect::Enable(which) => (true, which),
        RawSelect::Disable(which) => (false, which),
    };
    if which.rule.is_none() && which.tag.is_none() {
        return Err(Error::new("rules: each entry names a rule or a tag"));
    }
    Ok(Select { enable, rule: which.rule, tag: which.tag })
}

fn append(raw: RawAppend) -> Append {
    let extra = raw.extra_fields.into_iter().flat_map(|extra| match extra {
        RawExtra::Field(field) => vec![Extra { format: format!("%{field}"), name: field, plain: true }],
        RawExtra::Named(all) => {
            all.into_iter().map(|(name, format)| Extra { name, format, plain: false }).collect::<Vec<_>>()
        }
    });
    Append {
        rule: raw.r#match.rule,
        source: raw.r#match.source,
        tags: raw.r#match.tags,
        output: raw.extra_output,
        fields: extra.collect(),
        suggested: raw.suggested_output,
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, Error> {
    std::path::absolute(&path).map_err(|e| Error::new(format!("{:?} is no path: {e}", path.display())))
}
