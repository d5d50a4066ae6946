//! `config.toml` of containerd. Its own includes replace the whole section of a plugin, so the file is edited, comments
//! and order kept.

use super::NAME;
use crate::error::Error;
use std::path::Path;
use toml_edit::{DocumentMut, Item, Table, value};

/// Configurations before version 3 have the runtimes here.
const CRI: &str = "io.containerd.grpc.v1.cri";
/// And since then here.
const CRI_3: &str = "io.containerd.cri.v1.runtime";

/// With porthole-runc as a runtime that has all options of the one that is the default now.
/// `others`: the rest of the configuration, what counts more first.
pub fn with(text: &str, others: &[DocumentMut], wrapper: &str, default: bool) -> Result<(String, Vec<String>), Error> {
    let mut config = parse(text, Path::new("config.toml"))?;
    if text.trim().is_empty() {
        config["version"] = value(2);
    }
    let plugin = plugin(&config)?;
    let all: Vec<&DocumentMut> = std::iter::once(&config).chain(others).collect();
    let (ours, notes) = ours(&all, plugin, wrapper, default)?;
    let containerd = [plugin, "containerd"];
    make(&mut config, &[plugin, "containerd", "runtimes"])?.insert(NAME, Item::Table(ours));
    if default {
        make(&mut config, &containerd)?.insert("default_runtime_name", value(NAME));
    }
    Ok((config.to_string(), notes))
}

/// The table of our runtime alone, for a file that is none of this grammar, made after a configuration that is.
pub fn table(model: &str, wrapper: &str) -> Result<(String, Vec<String>), Error> {
    let model = parse(model, Path::new("config.toml"))?;
    let plugin = plugin(&model)?;
    let (ours, notes) = ours(&[&model], plugin, wrapper, false)?;
    let mut alone = DocumentMut::new();
    make(&mut alone, &[plugin, "containerd", "runtimes"])?.insert(NAME, Item::Table(ours));
    Ok((alone.to_string(), notes))
}

/// The line that our table begins with.
pub fn header(model: &str) -> Result<String, Error> {
    let plugin = plugin(&parse(model, Path::new("config.toml"))?)?;
    Ok(format!("[plugins.{plugin:?}.containerd.runtimes.{NAME}]"))
}

/// Our runtime, made after the one that is the default now, and what a person should know.
fn ours(all: &[&DocumentMut], plugin: &str, wrapper: &str, default: bool) -> Result<(Table, Vec<String>), Error> {
    let current = all.iter().find_map(|config| default_name(config, plugin)).filter(|name| *name != NAME);
    let current = current.unwrap_or("runc").to_owned();
    let model = all.iter().find_map(|config| get(config, &[plugin, "containerd", "runtimes", &current])).cloned();
    let mut ours = model.and_then(|m| m.into_table().ok()).unwrap_or_default();
    let mut notes = vec![];
    if all.iter().any(|config| is_disabled(config)) {
        notes.push(
            "disabled_plugins turns Kubernetes' interface off: this containerd reads none of it until that is taken out \
             (docker's own containerd needs nothing: porthole install docker)"
                .to_owned(),
        );
    }
    // a value of microk8s' template stands for io.containerd.runc.v2
    let kind = ours.get("runtime_type").and_then(Item::as_str).filter(|kind| !kind.starts_with("${"));
    if !kind.unwrap_or("io.containerd.runc.v2").starts_with("io.containerd.runc.") {
        return Err(Error::new(format!(
            "runtime {current:?} is none that calls runc: porthole cannot stand before it"
        )));
    }
    if kind.is_none() {
        ours["runtime_type"] = value("io.containerd.runc.v2");
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
    Ok((ours, notes))
}

/// Without it. The default becomes what it was in `original`, else runc.
pub fn without(text: &str, original: Option<&str>) -> Result<String, Error> {
    let mut config = parse(text, Path::new("config.toml"))?;
    let Ok(plugin) = plugin(&config) else { return Ok(text.to_owned()) };
    let is_default = default_name(&config, plugin) == Some(NAME);
    let is_there = get(&config, &[plugin, "containerd", "runtimes", NAME]).is_some();
    if !is_default && !is_there {
        return Ok(text.to_owned());
    }
    let containerd = make(&mut config, &[plugin, "containerd"])?;
    if is_default {
        let original = original.and_then(|text| text.parse::<DocumentMut>().ok());
        match original.as_ref().map(|original| default_name(original, plugin).filter(|name| *name != NAME)) {
            Some(None) => drop(containerd.remove("default_runtime_name")),
            Some(Some(name)) => drop(containerd.insert("default_runtime_name", value(name))),
            None => drop(containerd.insert("default_runtime_name", value("runc"))),
        }
    }
    if let Some(runtimes) = containerd.get_mut("runtimes").and_then(Item::as_table_like_mut) {
        runtimes.remove(NAME);
    }
    Ok(config.to_string())
}

/// Programs that the runtimes of a configuration are, with the runtimes' names, and the name of the default one.
pub fn programs(config: &DocumentMut) -> (Vec<(String, String)>, Option<String>) {
    let Ok(plugin) = plugin(config) else { return (vec![], None) };
    let runtimes = get(config, &[plugin, "containerd", "runtimes"]).and_then(Item::as_table_like);
    let named = runtimes.into_iter().flat_map(|runtimes| runtimes.iter()).filter_map(|(name, runtime)| {
        Some((name.to_owned(), runtime.get("options")?.get("BinaryName")?.as_str()?.to_owned()))
    });
    (named.collect(), default_name(config, plugin).map(str::to_owned))
}

/// Whether something is said about containers in it.
pub fn has_section(config: &DocumentMut) -> bool {
    [CRI, CRI_3].iter().any(|plugin| get(config, &[plugin]).is_some())
}

/// The grammar alone.
pub fn parse(text: &str, path: &Path) -> Result<DocumentMut, Error> {
    text.parse().map_err(|e| {
        let path = path.display();
        Error::new(format!("{path} cannot be understood: {e}containerd will not start with it; correct it first"))
    })
}

/// The plugin that has the runtimes, by the version of the configuration.
fn plugin(config: &DocumentMut) -> Result<&'static str, Error> {
    match config.get("version").and_then(Item::as_integer) {
        Some(2) => Ok(CRI),
        Some(3) => Ok(CRI_3),
        None if config.is_empty() => Ok(CRI),
        // files that others import need not say it again
        None if get(config, &[CRI]).is_some() => Ok(CRI),
        None if get(config, &[CRI_3]).is_some() => Ok(CRI_3),
        _ if is_disabled(config) => Err(Error::new(
            "Kubernetes' interface is turned off in this configuration (disabled_plugins): there is nothing to tell this \
             containerd. If docker uses it: porthole install docker",
        )),
        version => Err(Error::new(format!(
            "a configuration of version {} is not known; `containerd config migrate` makes a newer one",
            version.unwrap_or(1)
        ))),
    }
}

/// Whether the plugin is turned off.
fn is_disabled(config: &DocumentMut) -> bool {
    let list = config.get("disabled_plugins").and_then(Item::as_array);
    list.into_iter().flatten().filter_map(|name| name.as_str()).any(|name| ["cri", CRI, CRI_3].contains(&name))
}

fn default_name<'a>(config: &'a DocumentMut, plugin: &str) -> Option<&'a str> {
    get(config, &[plugin, "containerd", "default_runtime_name"])?.as_str()
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
