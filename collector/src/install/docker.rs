//! `daemon.json`.

use super::NAME;
use crate::error::Error;
use serde::Serialize;
use serde_json::{Map, Value, json, ser::PrettyFormatter};

const RUNTIMES: &str = "runtimes";
const DEFAULT: &str = "default-runtime";

/// With porthole-runc as a runtime, and as the one for every container if asked for.
pub fn with(text: &str, wrapper: &str, default: bool) -> Result<(String, Vec<String>), Error> {
    let mut config = parse(text)?;
    let runtimes = config.entry(RUNTIMES).or_insert_with(|| json!({}));
    let Some(runtimes) = runtimes.as_object_mut() else {
        return Err(Error::new("\"runtimes\" is no object: dockerd will not start with it; correct it first"));
    };
    runtimes.insert(NAME.into(), json!({ "path": wrapper }));
    if default {
        match config.get(DEFAULT).and_then(Value::as_str) {
            None | Some("" | "runc" | NAME) => {}
            Some(other) => {
                return Err(Error::new(format!(
                    "every container runs with {other:?} already, which porthole-runc would take the place of; name its \
                     program as \"runtime\" in /etc/porthole/porthole-runc.json and take \"{DEFAULT}\" out first, or \
                     install without --default"
                )));
            }
        }
        config.insert(DEFAULT.into(), NAME.into());
    }
    Ok((shown(text, config)?, vec![]))
}

/// Without it.
pub fn without(text: &str) -> Result<String, Error> {
    let mut config = parse(text)?;
    let mut found = config.get(DEFAULT).and_then(Value::as_str) == Some(NAME);
    if found {
        config.shift_remove(DEFAULT);
    }
    if let Some(runtimes) = config.get_mut(RUNTIMES).and_then(Value::as_object_mut) {
        found |= runtimes.shift_remove(NAME).is_some();
        if runtimes.is_empty() && found {
            config.shift_remove(RUNTIMES);
        }
    }
    if found { shown(text, config) } else { Ok(text.to_owned()) }
}

/// With docker's own runtime as the default, and the runtimes that are there, said aloud: a running dockerd does not forget
/// what is merely gone.
pub fn aloud(text: &str) -> Result<String, Error> {
    let mut config = parse(text)?;
    config.entry(RUNTIMES).or_insert_with(|| json!({}));
    config.entry(DEFAULT).or_insert_with(|| "runc".into());
    shown(text, config)
}

/// Programs that the runtimes of a configuration are, with the runtimes' names, and the name of the default one.
#[allow(clippy::type_complexity)] // what it says
pub fn programs(text: &str) -> Result<(Vec<(String, Vec<String>)>, Option<String>), Error> {
    let config = parse(text)?;
    let runtimes = config.get(RUNTIMES).and_then(Value::as_object).into_iter().flatten();
    let path = |(name, runtime): (&String, &Value)| Some((name.clone(), vec![runtime["path"].as_str()?.to_owned()]));
    Ok((runtimes.filter_map(path).collect(), config.get(DEFAULT).and_then(Value::as_str).map(str::to_owned)))
}

fn parse(text: &str) -> Result<Map<String, Value>, Error> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|e| {
        Error::new(format!("daemon.json is no JSON object ({e}): dockerd will not start with it; correct it first"))
    })
}

/// Indented as it was before.
fn shown(before: &str, config: Map<String, Value>) -> Result<String, Error> {
    let second = before.lines().find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
    let indent = second.map_or("  ", |line| &line[..line.len() - line.trim_start().len()]);
    let mut out = vec![];
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    Value::Object(config).serialize(&mut serializer).map_err(|e| Error::new(e.to_string()))?;
    if before.is_empty() || before.ends_with('\n') {
        out.push(b'\n');
    }
    String::from_utf8(out).map_err(|e| Error::new(e.to_string()))
}
