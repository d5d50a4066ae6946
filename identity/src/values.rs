//! Reading JSON of others: what is missing, or is something else than expected, is empty.

use porthole_registration::container::Bind;
use serde_json::Value;
use std::collections::BTreeMap;

/// The text at a pointer.
pub fn text(value: &Value, at: &str) -> String {
    str_at(value, at).to_owned()
}

/// The text at a pointer, borrowed.
pub fn str_at<'a>(value: &'a Value, at: &str) -> &'a str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

/// The flag at a pointer.
pub fn flag(value: &Value, at: &str) -> bool {
    value.pointer(at).and_then(Value::as_bool).unwrap_or_default()
}

/// The list of texts at a pointer.
pub fn words(value: &Value, at: &str) -> Vec<String> {
    list(value, at).filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The list at a pointer.
pub fn list<'a>(value: &'a Value, at: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

/// Names and texts of the object at a pointer.
pub fn map(value: &Value, at: &str) -> BTreeMap<String, String> {
    let pairs = value.pointer(at).and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(name, v)| Some((name.clone(), v.as_str()?.to_owned()))).collect()
}

/// The number at a pointer, if it is a port's.
pub fn port(value: &Value, at: &str) -> Option<u16> {
    let value = value.pointer(at)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|n| *n > 0)
}

/// A mount of a spec, as an engine would list it. Options that neither name the kind of bind nor what has a place of
/// its own are its mode.
pub fn bind(mount: &porthole_registration::container::Mount) -> Bind {
    const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
    let has = |option: &str| mount.options.iter().any(|o| o == option);
    let propagation = mount.options.iter().find(|o| PROPAGATIONS.contains(&o.as_str())).cloned();
    let rest = mount.options.iter().map(String::as_str);
    let mode: Vec<&str> = rest.filter(|o| !PROPAGATIONS.contains(o) && !["bind", "rbind"].contains(o)).collect();
    Bind {
        source: mount.source.clone(),
        destination: mount.destination.clone(),
        mode: mode.join(","),
        rw: !has("ro"),
        propagation: propagation.unwrap_or_default(),
    }
}
