//! `porthole events`.

use super::{Stop, written};
use crate::api::EventsQuery;
use crate::api::client::Client;
use crate::format::{Format, compact, paint::Paint};
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Show the collector's events: the last ones it keeps in memory, or new ones as they come
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole events                        all events that are kept in memory
  porthole events -f                     the last 10, then new events as they come, until interrupted
  porthole events -f --last 0            only new ones
  porthole events --container web        one container's, by name, id or start of the id
  porthole events -f --filter 'evt.type = connect and not fd.sip in (10.0.0.1)'
  porthole events -f --format json | jq -r '.\"proc.cmdline\"'

Times of compact lines are UTC. Every event is one JSON object with Falco's field names.")]
pub struct Args {
    /// Go on with new events as they come
    #[arg(short, long)]
    follow: bool,
    /// Only events of this container: its name, id, or the first four or more digits of its id
    #[arg(long, value_name = "C")]
    container: Option<String>,
    /// Only events that CONDITION is true for: the language of rules, over the same fields (`porthole fields`)
    #[arg(long, value_name = "CONDITION", value_parser = crate::detect::filter::checked)]
    filter: Option<String>,
    /// List the types of events that there are, with their arguments
    #[arg(long, conflicts_with_all = ["follow", "container", "filter", "last", "format"])]
    list: bool,
    /// At most the last N of the kept events [default: all, with --follow 10]
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Form of the events
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn main(args: Args, state_dir: PathBuf) -> Result<(), Stop> {
    if args.list {
        return super::print(&super::rules::types());
    }
    let query = EventsQuery { follow: args.follow, container: args.container, last: args.last, filter: args.filter };
    let mut out = io::stdout().lock();
    let paint = Paint::for_stream(&out);
    let mut result = Ok(());
    Client::new(&state_dir).events(&query, |lines| {
        let text;
        let bytes = match args.format {
            Format::Json => lines,
            Format::Compact => {
                text = people(lines, paint);
                text.as_bytes()
            }
        };
        result = written(out.write_all(bytes).and_then(|()| out.flush()));
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result
}

/// JSON lines as compact ones.
fn people(lines: &[u8], paint: Paint) -> String {
    let mut text = String::new();
    for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(event) => text += &compact::line(&event, paint),
            Err(e) => text += &format!("(an event that cannot be understood: {e})"),
        }
        text.push('\n');
    }
    text
}
