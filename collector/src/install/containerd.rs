//! `config.toml` of containerd. Its own includes replace the whole section of a plugin, so the file is edited, comments
//! and order kept.

use super::NAME;
use crate::error::Error;
use toml_edit::{DocumentMut, Item, Table, value};

/// Where it lies: Debian's and others', microk8s'. (k3s and rke2 make theirs anew from a template at each start: their
/// template has to be named.)
pub const PLACES: &[&str] =
    &["/etc/containerd/config.toml", "/var/snap/microk8s/current/args/containerd-template.toml"];

/// With porthole-runc as a runtime that has all options of the one that is the default now.
pub fn with(text: &str, wrapper: &str, default: bool) -> Result<(String, Vec<String>), Error> {
    let mut config = parse(text)?;
    if text.trim().is_empty() {
        config["version"] = value(2);
    }
    let plugin = plugin(&config)?;
    let containerd = [plugin, "containerd"];
    let current = get(&config, &containerd).and_then(|c| c.get("default_runtime_name")).and_then(Item::as_str);
    let current = current.filter(|name| *name != NAME).unwrap_or("runc").to_owned();
    let model = get(&config, &[plugin, "containerd", "runtimes", &current]).cloned();
    let mut ours = model.and_then(|m| m.into_table().ok()).unwrap_or_default();
    let mut notes = vec![];
    if !ours.contains_key("runtime_type") {
        ours["runtime_type"] = value("io.containerd.runc.v2");
    }
    if !ours["runtime_type"].as_str().is_some_and(|kind| kind.starts_with("io.containerd.runc.")) {
        return Err(Error::new(format!(
            "runtime {current:?} is none that calls runc: porthole cannot stand before it"
        )));
    }
    let options = ours.entry("options").or_insert_with(|| Item::Table(Table::new()));
    let Some(options) = options.as_table_like_mut() else {
        return Err(Error::new(format!("the options of runtime {current:?} are no table; correct them first")));
    };
    let real = options.get("BinaryName").and_then(Item::as_str).filter(|name| !name.is_empty() && *name != wrapper);
    if let Some(real) = real.filter(|name| name.rsplit('/').next() != Some("runc")) {
        let what = format!(
            "runtime {current:?} is {real}: name it as \"runtime\" in /etc/porthole/porthole-runc.json, or porthole-runc calls runc instead"
        );
        if default {
            return Err(Error::new(what));
        }
        notes.push(what);
    }
    options.insert("BinaryName", value(wrapper));
    place(&mut ours);
    let parent = make(&mut config, &[plugin, "containerd", "runtimes"])?;
    parent.insert(NAME, Item::Table(ours));
    if default {
        make(&mut config, &containerd)?.insert("default_runtime_name", value(NAME));
    }
    Ok((config.to_string(), notes))
}

/// Without it.
pub fn without(text: &str) -> Result<String, Error> {
    let mut config = parse(text)?;
    let Ok(plugin) = plugin(&config) else { return Ok(text.to_owned()) };
    if get(&config, &[plugin, "containerd"]).is_none() {
        return Ok(text.to_owned());
    }
    let containerd = make(&mut config, &[plugin, "containerd"])?;
    if containerd.get("default_runtime_name").and_then(Item::as_str) == Some(NAME) {
        containerd.insert("default_runtime_name", value("runc"));
    }
    if let Some(runtimes) = containerd.get_mut("runtimes").and_then(Item::as_table_like_mut) {
        runtimes.remove(NAME);
    }
    Ok(config.to_string())
}

fn parse(text: &str) -> Result<DocumentMut, Error> {
    text.parse().map_err(|e| {
        Error::new(format!("config.toml cannot be understood: {e}containerd will not start with it; correct it first"))
    })
}

/// The plugin that has the runtimes, by the version of the configuration.
fn plugin(config: &DocumentMut) -> Result<&'static str, Error> {
    match config.get("version").and_then(Item::as_integer) {
        Some(2) => Ok("io.containerd.grpc.v1.cri"),
        Some(3) => Ok("io.containerd.cri.v1.runtime"),
        None if config.is_empty() => Ok("io.containerd.grpc.v1.cri"),
        version => Err(Error::new(format!(
            "a configuration of version {} is not known; `containerd config migrate` makes a newer one",
            version.unwrap_or(1)
        ))),
    }
}

fn get<'a>(config: &'a DocumentMut, path: &[&str]) -> Option<&'a Item> {
    path.iter().try_fold(config.get("plugins")?, |item, name| item.get(name))
}

/// The table at a path below `plugins`, made where it is not there.
fn make<'a>(config: &'a mut DocumentMut, path: &[&str]) -> Result<&'a mut dyn toml_edit::TableLike, Error> {
    let implicit = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let mut item = config.entry("plugins").or_insert_with(implicit);
    for name in path {
        let table =
            item.as_table_like_mut().ok_or_else(|| Error::new(format!("what {name:?} stands in is no table")))?;
        item = table.entry(name).or_insert_with(implicit);
    }
    item.as_table_like_mut().ok_or_else(|| Error::new(format!("{path:?} is no table")))
}

/// A copied table stands where it is put, not where it came from.
fn place(table: &mut Table) {
    table.set_position(None);
    table.decor_mut().clear();
    for (_, item) in table.iter_mut() {
        if let Some(inner) = item.as_table_mut() {
            place(inner);
        }
    }
}
