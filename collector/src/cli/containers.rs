//! `porthole containers`.

use super::{Listing, Stop, print};
use crate::api::EventsQuery;
use crate::api::client::Client;
use crate::clock::now_ns;
use crate::error::Error;
use crate::format::span::age;
use crate::format::{paint::Paint, table::Align, table::Table, terminal};
use crate::status::ContainerView;
use std::path::PathBuf;

/// List the containers of this machine, with what was seen of each, and those that run without porthole
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole containers
  porthole containers --wide
  porthole containers --filter 'container.privileged = true and not container.image.repository startswith docker.io/'
  porthole containers --json | jq -r '.[] | select(.injection == \"none\") | .name'

AGENT says whether the agent is in the container, and why not; a container without it is not seen from inside. Those \
that did not come through porthole-runc are found by their control groups, and have no records.
PROCS counts the processes that run now, SEEN those that were seen from inside, FILES and CONNS what succeeded, LOST the \
records that were made and did not arrive.")]
pub struct Args {
    /// Only containers that CONDITION is true for: the language of rules, over the same fields (`porthole fields`); those
    /// of processes and calls have no value
    #[arg(long, value_name = "CONDITION", value_parser = crate::detect::filter::checked)]
    filter: Option<String>,
    /// Form of the list
    #[arg(long, value_enum, default_value_t)]
    format: Listing,
    /// The same as --format json
    #[arg(long)]
    json: bool,
    /// More columns, and nothing cut to the terminal's width
    #[arg(long)]
    wide: bool,
}

pub fn main(args: Args, state_dir: PathBuf) -> Result<(), Stop> {
    let query = EventsQuery { filter: args.filter.clone(), ..EventsQuery::default() };
    let containers: Vec<ContainerView> = Client::new(&state_dir).get(&query.uri_of("/v1/containers"))?;
    if args.json || args.format == Listing::Json {
        let text = serde_json::to_string_pretty(&containers).map_err(|e| Error::new(e.to_string()))?;
        return print(&(text + "\n"));
    }
    if containers.is_empty() {
        super::complain(&match args.filter {
            Some(_) => "the filter is true for no container",
            None => "no containers yet; run one with the runtime porthole-runc",
        });
        return Ok(());
    }
    let out = std::io::stdout();
    let columns = terminal::columns(&out).filter(|_| !args.wide);
    print(&table(&containers, args.wide, now_ns()).within(columns).render(Paint::for_stream(&out)))
}

/// Whether the agent is in a container, and why not.
pub(super) fn agent(c: &ContainerView) -> String {
    match (c.injection.as_str(), c.injection_reason.as_str()) {
        ("none", "") => "no".into(),
        ("none", reason) => format!("no: {reason}"),
        _ => "yes".into(),
    }
}

/// Namespace and name of its pod.
pub(super) fn pod(c: &ContainerView) -> String {
    match (c.pod_namespace.as_str(), c.pod_name.as_str()) {
        ("", name) => name.into(),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

fn table(containers: &[ContainerView], wide: bool, now_ns: u64) -> Table {
    use Align::{Left, Right};
    type Of = Box<dyn Fn(&ContainerView) -> String>;
    let text = |of: fn(&ContainerView) -> &String| -> Of { Box::new(move |c| of(c).clone()) };
    let count = |of: fn(&ContainerView) -> u64| -> Of { Box::new(move |c| of(c).to_string()) };
    let some_pod = containers.iter().any(|c| !c.pod_name.is_empty());
    // heading, alignment, whether it is always there
    let all: [(&'static str, Align, bool, Of); 15] = [
        ("ID", Left, true, text(|c| &c.id)),
        ("NAME", Left, true, text(|c| &c.name)),
        ("IMAGE", Left, true, text(|c| &c.image)),
        ("ENGINE", Left, true, text(|c| &c.engine)),
        ("POD", Left, some_pod, Box::new(pod)),
        ("STATE", Left, true, text(|c| &c.state)),
        ("AGE", Right, wide, Box::new(move |c| age(c.created_ns, now_ns))),
        ("PROCS", Right, true, count(|c| c.alive)),
        ("SEEN", Right, wide, count(|c| c.processes)),
        ("EXECS", Right, wide, count(|c| c.execs)),
        ("FILES", Right, wide, count(|c| c.files)),
        ("CONNS", Right, wide, count(|c| c.connections)),
        ("RECORDS", Right, true, count(|c| c.records)),
        ("LOST", Right, true, count(|c| c.lost.values().sum())),
        ("AGENT", Left, true, Box::new(agent)),
    ];
    let shown: Vec<_> = all.iter().filter(|(_, _, there, _)| *there).collect();
    let mut table = Table::new(&shown.iter().map(|(name, align, ..)| (*name, *align)).collect::<Vec<_>>());
    for c in containers {
        table.row(shown.iter().map(|(.., of)| of(c)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> ContainerView {
        ContainerView {
            id: "3f2a00112233".into(),
            name: "web\n\x1b[31m".into(),
            injection: "none".into(),
            injection_reason: "static entrypoint".into(),
            alive: 7,
            lost: [("ring-full".into(), 2), ("late".into(), 1)].into(),
            ..ContainerView::default()
        }
    }

    #[test]
    fn a_container_is_one_line_whatever_it_calls_itself() {
        let text = table(&[view()], false, 0).render(Paint::OFF);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("web\\n\\x1b[31m") && !text.contains("POD") && !text.contains("EXECS"), "{text}");
        assert!(text.ends_with(" 7        0     3  no: static entrypoint\n"), "{text}");
    }

    #[test]
    fn pods_have_a_column_where_there_are_some_and_wide_has_more() {
        let in_pod = ContainerView { pod_namespace: "shop".into(), pod_name: "web-0".into(), ..view() };
        let text = table(&[view(), in_pod], true, 90_000_000_000).render(Paint::OFF);
        assert!(text.contains("shop/web-0") && text.contains("EXECS") && text.contains("1 min"), "{text}");
    }

    #[test]
    fn a_narrow_terminal_gets_whole_lines() {
        let long = ContainerView { image: "registry.example.org/some/where/an-image:1.2.3".into(), ..view() };
        let text = table(&[long.clone(), long], false, 0).within(Some(80)).render(Paint::OFF);
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        assert!(text.contains('…') && text.contains("3f2a00112233"), "{text}");
    }
}
