//! `porthole containers`.

use super::{Listing, Stop, print};
use crate::api::client::Client;
use crate::error::Error;
use crate::format::{paint::Paint, table::Align, table::Table};
use crate::status::ContainerView;
use std::path::PathBuf;

/// List the containers that the collector knows, with what was seen of each
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole containers
  porthole containers --format json | jq -r '.[] | select(.injection == \"none\") | .name'

INJECTION says whether the agent is in the container, and why not; a container without it is not seen from inside.
FILES and CONNS count what succeeded, LOST the records that were made and did not arrive.")]
pub struct Args {
    /// Form of the list
    #[arg(long, value_enum, default_value_t)]
    format: Listing,
}

pub fn main(args: Args, state_dir: PathBuf) -> Result<(), Stop> {
    let containers: Vec<ContainerView> = Client::new(&state_dir).get("/v1/containers")?;
    match args.format {
        Listing::Table if containers.is_empty() => {
            super::complain(&"no containers yet; run one with the runtime porthole-runc");
            Ok(())
        }
        Listing::Table => print(&table(&containers).render(Paint::for_stream(&std::io::stdout()))),
        Listing::Json => {
            let text = serde_json::to_string_pretty(&containers).map_err(|e| Error::new(e.to_string()))?;
            print(&(text + "\n"))
        }
    }
}

fn table(containers: &[ContainerView]) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("ID", Left),
        ("NAME", Left),
        ("IMAGE", Left),
        ("ENGINE", Left),
        ("STATE", Left),
        ("INJECTION", Left),
        ("PROCS", Right),
        ("EXECS", Right),
        ("FILES", Right),
        ("CONNS", Right),
        ("RECORDS", Right),
        ("LOST", Right),
    ]);
    for c in containers {
        let injection = match c.injection_reason.as_str() {
            "" => c.injection.clone(),
            reason => format!("{}: {reason}", c.injection),
        };
        let lost: u64 = c.lost.values().sum();
        let counts = [c.processes, c.execs, c.files, c.connections, c.records, lost].map(|n| n.to_string());
        let texts = [&c.id, &c.name, &c.image, &c.engine, &c.state, &injection].map(String::as_str);
        table.row(texts.into_iter().chain(counts.iter().map(String::as_str)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_one_line_whatever_it_calls_itself() {
        let view = ContainerView {
            id: "3f2a00112233".into(),
            name: "web\n\x1b[31m".into(),
            injection: "none".into(),
            injection_reason: "static entrypoint".into(),
            lost: [("ring-full".into(), 2), ("late".into(), 1)].into(),
            ..ContainerView::default()
        };
        let text = table(&[view]).render(Paint::OFF);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("web\\n\\x1b[31m") && text.contains("none: static entrypoint"), "{text}");
        assert!(text.trim_end().ends_with(" 3"), "{text}");
    }
}
