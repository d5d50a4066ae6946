//! `porthole rules`, `porthole fields`, and the list of `porthole events --list`.

use super::{Listing, Stop, print};
use crate::detect::config::Plan;
use crate::detect::fields::{Fields, is_own};
use crate::detect::files;
use crate::detect::outputs::Target;
use crate::error::Error;
use crate::format::paint::Paint;
use crate::format::table::Table;
use porthole_rules::event::Asked;
use porthole_rules::load::{self, Loaded};
use porthole_rules::problem::Problem;
use porthole_rules::ruleset::Rule;
use porthole_rules::vocabulary::{Info, Takes, Type};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Check rules files, or list the rules in them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole rules check falco_rules.yaml mine.yaml     problems with line, column and the place in the condition
  porthole rules list falco_rules.yaml                every rule: priority, whether it is on, its types of events
  porthole rules list --format json rules.d | jq '.[].rule'

Exit status of check: 0 if all files are taken (warnings are no errors), 1 if not.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Load rules files as a collector does, and say what is wrong with them
    Check(Files),
    /// List the rules of files
    List(Files),
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Rules files, or directories of them, in the order in which they are loaded
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: Listing,
}

/// List the fields that rules and filters can name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole fields              what porthole supplies
  porthole fields --all        every field of Falco, also those that never have a value here
  porthole fields proc.        those whose names begin so")]
pub struct FieldsArgs {
    /// Only fields whose names begin so
    #[arg(value_name = "START", default_value = "")]
    start: String,
    /// Also fields that never have a value here
    #[arg(long)]
    all: bool,
    /// Form of the list
    #[arg(long, value_enum, default_value_t)]
    format: Listing,
}

pub fn main(args: Args) -> Result<(), Stop> {
    match args.what {
        What::Check(files) => check(files),
        What::List(files) => list(files),
    }
}

fn loaded(files: &[PathBuf]) -> Result<Loaded, Stop> {
    let fields = Fields::new(&BTreeMap::new());
    Ok(load::load(&files::read(files)?, Arc::new(fields.vocabulary)))
}

fn check(args: Files) -> Result<(), Stop> {
    let loaded = loaded(&args.files)?;
    match args.format {
        Listing::Json => print(&format!("{}\n", results(&loaded)))?,
        Listing::Table => {
            let mut text = String::new();
            for report in &loaded.reports {
                let _ = match report.errors.is_empty() {
                    true => writeln!(text, "{}: taken, {} warnings", report.name, report.warnings.len()),
                    false => writeln!(text, "{}: not taken", report.name),
                };
                for (kind, problems) in [("error", &report.errors), ("warning", &report.warnings)] {
                    for problem in problems {
                        let _ = writeln!(text, "  {kind}: {problem}"); // a String takes everything
                    }
                }
            }
            print(&text)?;
        }
    }
    if loaded.rules.is_none() { Err(Error::new("not all files were taken").into()) } else { Ok(()) }
}

/// As Falco's `-V` prints it.
fn results(loaded: &Loaded) -> Value {
    let problem = |p: &Problem| {
        let position = json!({ "name": "", "line": p.at.line, "column": p.at.column });
        json!({
            "code": p.code.as_str(),
            "codedesc": p.code.what(),
            "message": p.message,
            "context": {
                "locations": [{ "item_type": p.item, "item_name": p.name, "position": position }],
                "snippet": p.snippet(),
            },
        })
    };
    let all = loaded.reports.iter().map(|r| {
        json!({
            "name": r.name,
            "successful": r.errors.is_empty(),
            "errors": r.errors.iter().map(problem).collect::<Vec<_>>(),
            "warnings": r.warnings.iter().map(problem).collect::<Vec<_>>(),
        })
    });
    json!({ "falco_load_results": all.collect::<Vec<_>>() })
}

fn list(args: Files) -> Result<(), Stop> {
    let rules = crate::detect::loaded(&Plan::of(args.files, Target::Stdout))?;
    let vocabulary = rules.vocabulary();
    let types = |rule: &Rule| rule.types.names(vocabulary).map(str::to_owned).collect::<Vec<_>>();
    let text = match args.format {
        Listing::Json => {
            let all = rules.rules().iter().map(|rule| {
                json!({
                    "rule": rule.name, "desc": rule.desc, "priority": rule.priority.as_str(), "enabled": rule.enabled,
                    "source": rule.source, "tags": rule.tags, "evt_types": types(rule), "output": rule.output_text,
                    "condition": rule.condition.to_string(),
                })
            });
            format!("{}\n", Value::Array(all.collect()))
        }
        Listing::Table => {
            const MANY: usize = 8;
            let row = |rule: &Rule| {
                let types = types(rule);
                let more = types.len().saturating_sub(MANY);
                let mut shown = types.iter().take(MANY).cloned().collect::<Vec<_>>().join(",");
                if more > 0 {
                    let _ = write!(shown, " and {more} more");
                }
                let on = if rule.enabled { "on" } else { "off" };
                vec![rule.priority.as_str().to_owned(), on.to_owned(), rule.name.clone(), shown]
            };
            columns(&["PRIORITY", "IS", "RULE", "TYPES OF EVENTS"], rules.rules().iter().map(row).collect())
        }
    };
    print(&text)
}

/// A table on standard output.
fn columns(heads: &[&'static str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::whole(heads);
    rows.iter().for_each(|row| table.row(row));
    table.render(Paint::for_stream(&std::io::stdout()))
}

pub fn fields(args: &FieldsArgs) -> Result<(), Stop> {
    let fields = Fields::new(&BTreeMap::new());
    let supplied = |n: usize, info: &Info| {
        fields.supplies(&Asked { number: n, name: info.name.clone(), argument: None, index: None })
    };
    let all = fields.vocabulary.fields().iter().enumerate().filter(|(_, info)| info.name.starts_with(&args.start));
    let wanted: Vec<(&Info, bool)> =
        all.map(|(n, info)| (info, supplied(n, info))).filter(|(_, supplied)| args.all || *supplied).collect();
    let text = match args.format {
        Listing::Json => {
            let row = |(info, supplied): &(&Info, bool)| {
                json!({ "name": info.name, "type": kind(info), "argument": argument(info), "list": info.list,
                        "supplied": supplied, "own": is_own(&info.name) })
            };
            format!("{}\n", Value::Array(wanted.iter().map(row).collect()))
        }
        Listing::Table => {
            let row = |(info, supplied): &(&Info, bool)| {
                let note = match (supplied, is_own(&info.name)) {
                    (false, _) => "never has a value here",
                    (_, true) => "porthole's own",
                    _ => "",
                };
                vec![info.name.clone(), kind(info).to_owned(), argument(info).to_owned(), note.to_owned()]
            };
            columns(&["FIELD", "TYPE", "ARGUMENT", ""], wanted.iter().map(row).collect())
        }
    };
    print(&text)
}

fn kind(info: &Info) -> &'static str {
    match info.kind {
        Type::Text => "text",
        Type::Bytes => "bytes",
        Type::Bool => "boolean",
        Type::Int | Type::Uint(_) | Type::Double => "number",
        Type::Port => "port",
        Type::Ip => "address",
        Type::Net => "address or network",
        Type::Dynamic => "as the argument",
    }
}

fn argument(info: &Info) -> &'static str {
    match info.takes {
        Takes::Nothing => "",
        Takes::Maybe => "optional",
        Takes::Something => "needed",
    }
}

/// The types of events, each with its arguments.
pub fn types() -> String {
    let fields = Fields::new(&BTreeMap::new());
    let row = |event: &porthole_rules::vocabulary::EventType| {
        let names: Vec<&str> = event.arguments.iter().map(|(name, _)| name.as_str()).collect();
        vec![event.name.clone(), names.join(" ")]
    };
    columns(&["TYPE", "ARGUMENTS (evt.arg.NAME)"], fields.vocabulary.events().iter().map(row).collect())
}
