//! `porthole alerts`.

use super::{Listing, Stop, print};
use crate::api::EventsQuery;
use crate::api::client::Client;
use crate::detect::stories::story::{Member, Story};
use crate::error::Error;
use crate::format::compact;
use crate::format::escape::{escape, escape_cut};
use crate::format::paint::{Ink, Paint};
use crate::format::table::{Align, Table};
use std::path::PathBuf;

/// Characters of a command line.
const LONG: usize = 160;

/// List the alerts that the collector keeps, or tell the story of one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole alerts list                   all that are kept, the newest last
  porthole alerts list --container web --last 5
  porthole alerts list --filter 'proc.aname = sshd'
  porthole alerts show 8c1f              its container, process tree, and what was done before
  porthole alerts show 8c1f --json

How many are kept, and how much is told of each: alert_stories in the configuration of the collector.")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List alerts, the newest last
    List {
        /// Only alerts of this container: its name, id, or the first four or more digits of its id
        #[arg(long, value_name = "C")]
        container: Option<String>,
        /// Only alerts whose event CONDITION is true for: the language of rules, over the same fields
        #[arg(long, value_name = "CONDITION", value_parser = crate::detect::filter::checked)]
        filter: Option<String>,
        /// At most the last N
        #[arg(long, value_name = "N")]
        last: Option<usize>,
        /// Form of the list
        #[arg(long, value_enum, default_value_t)]
        format: Listing,
        /// The same as --format json
        #[arg(long)]
        json: bool,
    },
    /// Tell all that is known of an alert
    Show {
        /// Its number, or the first four or more digits of it
        id: String,
        /// Form of the story
        #[arg(long, value_enum, default_value_t)]
        format: Listing,
        /// The same as --format json
        #[arg(long)]
        json: bool,
    },
}

pub fn main(args: Args, state_dir: PathBuf) -> Result<(), Stop> {
    let client = Client::new(&state_dir);
    let paint = Paint::for_stream(&std::io::stdout());
    match args.verb {
        Verb::List { container, filter, last, format, json: as_json } => {
            let query = EventsQuery { follow: false, container, last, filter };
            let stories: Vec<Story> = client.get(&query.uri_of("/v1/alerts"))?;
            match if as_json { Listing::Json } else { format } {
                Listing::Table if stories.is_empty() => {
                    super::complain(
                        &"no alerts are kept; those of a collector with rules are (`porthole collector -r`)",
                    );
                    Ok(())
                }
                Listing::Table => print(&table(&stories).render(paint)),
                Listing::Json => json(&stories),
            }
        }
        Verb::Show { id, format, json: as_json } => {
            if id.len() < 4 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
                let what = "no number of an alert: four or more hexadecimal digits";
                return Err(Error::new(format!("{id:?} is {what}; `porthole alerts list` shows them")).into());
            }
            let story: Story = client.get(&format!("/v1/alerts/{id}"))?;
            match if as_json { Listing::Json } else { format } {
                Listing::Table => print(&told(&story, paint)),
                Listing::Json => json(&story),
            }
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::new(e.to_string()))?;
    print(&(text + "\n"))
}

fn table(stories: &[Story]) -> Table {
    use Align::Left;
    let columns = ["ID", "TIME (UTC)", "PRIORITY", "CONTAINER", "RULE", "PROCESS"];
    let mut table = Table::new(&columns.map(|name| (name, Left)));
    for s in stories {
        let container = match (s.container.name.as_str(), s.container.id.as_str()) {
            ("", id) => id.to_owned(),
            (name, id) => format!("{name}/{}", id.get(..4).unwrap_or(id)),
        };
        let time = s.time.get(..19).unwrap_or(&s.time).replace('T', " ");
        table.row([&s.id, &time, &s.priority, &container, &s.rule, &s.process.cmdline]);
    }
    table
}

/// The story for a person, the container first.
fn told(s: &Story, paint: Paint) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        if !value.trim().is_empty() {
            out += &format!("{}{value}\n", paint.ink(Ink::Bold, format!("{key:<11}")));
        }
    };
    let c = &s.container;
    let text = |key: &str| s.alert.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    let id = if c.full_id.is_empty() { &c.id } else { &c.full_id };
    line("container", paint.ink(Ink::Cyan, escape(id)).into_owned());
    let names = [("", &c.name), ("image ", &c.image), ("by ", &c.engine)];
    let names = names.iter().filter(|(_, name)| !name.is_empty()).map(|(what, name)| format!("{what}{}", escape(name)));
    line("", names.collect::<Vec<_>>().join(", "));
    if !c.pod_name.is_empty() {
        line("pod", format!("{}/{}", escape(&c.pod_namespace), escape(&c.pod_name)));
    }
    line("alert", format!("{} of {}", escape(&s.id), escape(&s.time)));
    line("rule", format!("{} ({})", paint.ink(Ink::Red, escape(&s.rule)), escape(&s.priority)));
    line("", escape(text("message")).into_owned());
    let tags = s.alert.get("tags").and_then(serde_json::Value::as_array);
    let tags = tags.into_iter().flatten().filter_map(|t| t.as_str()).map(escape);
    line("tags", tags.collect::<Vec<_>>().join(", "));
    out += &format!("\n{}\n", paint.ink(Ink::Bold, "processes"));
    out += &tree(s, paint);
    let heading = format!("before, {} of the last events", s.before.len());
    out += &format!(
        "\n{}\n",
        paint.ink(Ink::Bold, if s.before.is_empty() { "before: nothing is known".into() } else { heading })
    );
    for event in &s.before {
        out += &format!("  {}\n", compact::line(event, paint));
    }
    out += &format!("\n{}\n  {}\n", paint.ink(Ink::Bold, "then"), compact::line(&s.event, paint));
    out
}

/// From the far end to the alert's process, marked, and what that has started.
fn tree(s: &Story, paint: Paint) -> String {
    let mut out = String::new();
    let mut put = |depth: usize, member: &Member, mark: bool| {
        let pid = match (member.pid, member.vpid) {
            (Some(pid), _) => pid.to_string(),
            (None, Some(vpid)) => format!("~{vpid}"),
            (None, None) => "?".into(),
        };
        let command = if member.cmdline.is_empty() { &member.name } else { &member.cmdline };
        let command = escape_cut(if command.is_empty() { "?" } else { command }, LONG);
        let command = if mark { paint.ink(Ink::Red, command).into_owned() } else { command.into_owned() };
        let user =
            if mark && !member.user.is_empty() { format!("  (user {})", escape(&member.user)) } else { String::new() };
        let arrow = if mark { "  ◀" } else { "" };
        out += &format!("{:indent$}{command} [{pid}]{user}{arrow}\n", "", indent = 2 + 2 * depth.min(32));
    };
    for (depth, ancestor) in s.ancestors.iter().rev().enumerate() {
        put(depth, ancestor, false);
    }
    let own = s.ancestors.len();
    if s.process != Member::default() {
        put(own, &s.process, true);
    }
    // below whoever has started it, as far as that is listed
    let mut depths: Vec<(Option<u32>, usize)> = vec![(s.process.pid, own)];
    for child in &s.children {
        let parent = depths.iter().rev().find(|(pid, _)| pid.is_some() && *pid == child.ppid);
        let depth = parent.map_or(own, |(_, depth)| *depth) + 1;
        put(depth, child, false);
        depths.push((child.pid, depth));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::stories::story::Container;

    fn member(pid: u32, ppid: u32, cmdline: &str) -> Member {
        Member { pid: Some(pid), ppid: Some(ppid), cmdline: cmdline.into(), ..Member::default() }
    }

    fn story() -> Story {
        let alert = serde_json::json!({ "message": "odd\x1b[31m", "tags": ["a", "b"] });
        Story {
            id: "8c1f00112233".into(),
            time: "2026-11-25T12:00:00.5Z".into(),
            container: Container { full_id: "0123456789abcdef".into(), name: "web\n".into(), ..Container::default() },
            rule: "A rule".into(),
            priority: "Warning".into(),
            alert: alert.as_object().unwrap().clone(),
            process: member(12, 11, "cat /etc/shadow"),
            ancestors: vec![member(11, 10, "sh"), member(10, 1, "runc")],
            children: vec![member(13, 12, "id"), member(14, 13, "ls\x1b]0;x")],
            ..Story::default()
        }
    }

    #[test]
    fn a_story_begins_with_the_container_and_shows_the_tree() {
        let text = told(&story(), Paint::OFF);
        assert!(text.starts_with("container  0123456789abcdef\n"), "{text}");
        let tree =
            "  runc [10]\n    sh [11]\n      cat /etc/shadow [12]  ◀\n        id [13]\n          ls\\x1b]0;x [14]\n";
        assert!(text.contains(tree), "{text}");
        assert!(!text.contains('\x1b') && text.contains("odd\\x1b[31m") && text.contains("web\\n"), "{text}");
        assert!(text.contains("tags       a, b\n") && text.contains("rule       A rule (Warning)\n"), "{text}");
    }

    #[test]
    fn a_list_has_a_line_for_each() {
        let text = table(&[story(), story()]).render(Paint::OFF);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("8c1f00112233  2026-11-25 12:00:00  Warning"), "{text}");
    }
}
