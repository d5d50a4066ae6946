//! `porthole tree`.

use super::containers::pod;
use super::{Listing, Stop, print};
use crate::api::client::Client;
use crate::api::is_meant;
use crate::census::branches;
use crate::clock::now_ns;
use crate::error::Error;
use crate::format::escape::{escape, escape_cut};
use crate::format::paint::{Ink, Paint};
use crate::format::span::age;
use crate::format::terminal;
use crate::status::{ContainerView, ProcessView, TreeView};
use std::path::PathBuf;

/// Longest command line where no terminal says how much room there is.
const LONGEST: usize = 4096;
/// Characters that a command line always gets.
const SHORTEST: usize = 16;

/// Show the processes of the containers as a tree, those of containers without porthole too
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole tree
  porthole tree web                      one container's, by name, id or start of the id
  porthole tree --json | jq '.[] | {name, commands: [.tree[].cmdline]}'

Each line is a process: its number on the host, its user in the container, how long ago it began, its arguments. One \
that the agent is not in has a `-` in front: what it does is not seen from inside.")]
pub struct Args {
    /// Only this container: its name, id, or the first four or more digits of its id
    #[arg(value_name = "CONTAINER")]
    container: Option<String>,
    /// Form of the tree
    #[arg(long, value_enum, default_value_t)]
    format: Listing,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

pub fn main(args: Args, state_dir: PathBuf) -> Result<(), Stop> {
    let mut all: Vec<TreeView> = Client::new(&state_dir).get("/v1/tree")?;
    match &args.container {
        Some(wanted) => {
            all.retain(|t| t.container.id == *wanted || is_meant(wanted, &t.container.name, &t.container.full_id));
            if all.is_empty() {
                let text = "`porthole containers` lists those that are known";
                return Err(Error::new(format!("no container {wanted:?}; {text}")).into());
            }
        }
        None => all.retain(|t| t.container.state != "deleted"),
    }
    if args.json || args.format == Listing::Json {
        let text = serde_json::to_string_pretty(&all).map_err(|e| Error::new(e.to_string()))?;
        return print(&(text + "\n"));
    }
    if all.is_empty() {
        super::complain(&"no container runs on this machine");
        return Ok(());
    }
    let out = std::io::stdout();
    print(&text(&all, terminal::columns(&out), now_ns(), Paint::for_stream(&out)))
}

fn text(all: &[TreeView], columns: Option<usize>, now_ns: u64, paint: Paint) -> String {
    let mut out = String::new();
    for (n, t) in all.iter().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        out += &head(&t.container, columns, paint);
        out += &processes(t, columns, now_ns, paint);
    }
    out
}

/// The line of a container.
fn head(c: &ContainerView, columns: Option<usize>, paint: Paint) -> String {
    let name = if c.name.is_empty() { &c.id } else { &c.name };
    let pod = Some(pod(c)).filter(|p| !p.is_empty()).map(|p| format!("pod {p}")).unwrap_or_default();
    let id = if c.name.is_empty() || c.id == "host" { "" } else { &c.id };
    let rest: Vec<&str> = [&c.image, &*c.engine, id, &pod].into_iter().filter(|t| !t.is_empty()).collect();
    let why = match (c.injection.as_str(), c.injection_reason.as_str()) {
        ("none", "") => "not seen from inside".to_owned(),
        ("none", reason) => format!("not seen from inside: {reason}"),
        _ => String::new(),
    };
    let room = columns.unwrap_or(LONGEST);
    let (name, rest) = (escape_cut(name, room), rest.join("  "));
    let left = room.saturating_sub(name.chars().count() + 2);
    let mut line = paint.ink(Ink::Bold, name).into_owned();
    if left > 0 && !rest.is_empty() {
        line += &format!("  {}", escape_cut(&rest, left));
    }
    line.push('\n');
    if !why.is_empty() {
        line += &format!("{}\n", paint.ink(Ink::Yellow, escape_cut(&why, room)));
    }
    line
}

/// The lines of its processes: branches, number, user, age, arguments.
fn processes(t: &TreeView, columns: Option<usize>, now_ns: u64, paint: Paint) -> String {
    let user = |p: &ProcessView| if p.user.is_empty() { p.uid.to_string() } else { escape_cut(&p.user, 16).into() };
    let width = |of: &dyn Fn(&ProcessView) -> String| t.tree.iter().map(|p| of(p).chars().count()).max().unwrap_or(0);
    let age = |p: &ProcessView| age(p.started_ns, now_ns);
    let (users, ages) = (width(&user), width(&age));
    let mut out = String::new();
    for (p, line) in t.tree.iter().zip(branches(&t.tree)) {
        let (own, before) = line.split_last().map_or((true, &[][..]), |(own, before)| (*own, before));
        let mut drawn: String = before.iter().map(|last| if *last { "   " } else { "│  " }).collect();
        drawn += if own { "└─ " } else { "├─ " };
        // the numbers stand in front, so that deep trees move nothing but the arguments
        let mark = if p.agent || t.container.injection == "none" { " " } else { "-" };
        let front = format!("{mark} {:>7}  {:<users$}  {:>ages$}  ", p.pid, user(p), age(p));
        let room = columns
            .map_or(LONGEST, |all| all.saturating_sub(front.chars().count() + drawn.chars().count()).max(SHORTEST));
        let command = escape_cut(&p.cmdline, room);
        out += &format!("{}{}{command}\n", paint.ink(Ink::Dim, escape(&front)), paint.ink(Ink::Dim, drawn));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TreeView {
        let process = |pid, ppid, user: &str, cmdline: &str, agent| ProcessView {
            pid,
            ppid,
            user: user.into(),
            uid: 33,
            cmdline: cmdline.into(),
            started_ns: 1_000_000_000,
            agent,
            ..ProcessView::default()
        };
        TreeView {
            container: ContainerView {
                id: "3f2a00112233".into(),
                name: "web".into(),
                image: "nginx:1.25".into(),
                engine: "docker".into(),
                pod_name: "web-0".into(),
                pod_namespace: "shop".into(),
                injection: "preload".into(),
                ..ContainerView::default()
            },
            tree: vec![
                process(4711, 1, "root", "nginx: master", true),
                process(4750, 4711, "", "nginx: worker \x1b[2J", true),
                process(4751, 4750, "root", &"x".repeat(200), false),
                process(4800, 2, "root", "sh", true),
            ],
        }
    }

    #[test]
    fn a_tree_has_a_line_for_its_container_and_one_for_each_process() {
        let mut t = sample();
        t.tree[2].cmdline = "x".into();
        let text = text(&[t.clone(), t], None, 5_000_000_000, Paint::OFF);
        let half = "\
web  nginx:1.25  docker  3f2a00112233  pod shop/web-0
     4711  root  4 s  ├─ nginx: master
     4750  33    4 s  │  └─ nginx: worker \\x1b[2J
-    4751  root  4 s  │     └─ x
     4800  root  4 s  └─ sh
";
        assert_eq!(text, format!("{half}\n{half}"));
    }

    #[test]
    fn a_narrow_terminal_gets_whole_lines_and_a_pipe_whole_arguments() {
        let mut t = sample();
        (t.container.injection, t.container.injection_reason) = ("none".into(), "other runtime: runc".into());
        let narrow = text(&[t.clone()], Some(60), 0, Paint::OFF);
        assert!(narrow.lines().all(|l| l.chars().count() <= 60), "{narrow}");
        assert!(
            narrow.contains("\nnot seen from inside: other runtime: runc\n") && !narrow.contains("\n-"),
            "{narrow}"
        );
        assert!(text(&[t], None, 0, Paint::OFF).contains(&"x".repeat(200)));
        assert!(!text(&[sample()], None, 0, Paint::OFF).contains('\x1b'));
    }
}
