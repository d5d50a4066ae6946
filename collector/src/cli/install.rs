//! `porthole install` and `porthole uninstall`.

use super::{Stop, print};
use crate::error::Error;
use crate::install::{self, Change, Engine, Request};
use std::path::PathBuf;

/// Where what engines' configurations were is kept.
const KEPT: &str = "/var/lib/porthole/install";

/// Directories that reboots, upgrades of engines or users empty.
const PASSING: [&str; 9] = [
    "/tmp",
    "/var/tmp",
    "/run",
    "/home",
    "/snap",
    "/var/snap",
    "/var/lib/rancher",
    "/var/lib/docker",
    "/var/lib/containerd",
];

/// Tell an engine of porthole-runc
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole install docker --dry-run
  porthole install docker --default
  porthole install containerd
  porthole install lxc --container web
  porthole uninstall docker

The runtime is named \"porthole\" in every engine; without --default a container has to ask for it (docker run --runtime
porthole, podman --runtime porthole, a RuntimeClass with handler porthole). What the configuration was is kept, and uninstall
puts it back byte for byte. A running docker or CRI-O reads it at once (SIGHUP); containerd has to be restarted, which is left
to you. No engine is ever restarted.")]
pub struct Args {
    /// Which engine
    #[arg(value_enum)]
    engine: Engine,
    #[command(flatten)]
    how: How,
    /// Every container that asks for no other runtime runs with it
    #[arg(long)]
    default: bool,
    #[command(flatten)]
    places: Places,
}

/// Take porthole-runc out of an engine's configuration
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole uninstall docker --dry-run
  porthole uninstall containerd && systemctl restart containerd

A configuration that nobody has changed since becomes what it was, byte for byte; from another only what porthole has added is
taken out.")]
pub struct UninstallArgs {
    /// Which engine
    #[arg(value_enum)]
    engine: Engine,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, clap::Args)]
struct How {
    /// Show what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not have a running docker or CRI-O read it again (SIGHUP)
    #[arg(long)]
    no_reload: bool,
}

#[derive(Debug, clap::Args)]
struct Places {
    /// The engine's configuration, if it is not in the usual place
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The container, of LXC
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// porthole-runc; an absolute path that upgrades of the engine leave alone [default: beside this program]
    #[arg(long, value_name = "FILE")]
    wrapper: Option<PathBuf>,
    /// Where it is kept what configurations were
    #[arg(long, value_name = "DIR", default_value = KEPT)]
    keep_in: PathBuf,
}

impl Places {
    fn request(self, engine: Engine, default: bool) -> Request {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join("porthole-runc"));
        let wrapper = self.wrapper.or_else(beside).unwrap_or_default();
        Request { engine, config: self.config, container: self.container, wrapper, default, kept: self.keep_in }
    }
}

pub fn main(args: Args) -> Result<(), Stop> {
    let request = args.places.request(args.engine, args.default);
    let wrapper = request.wrapper.display();
    if !request.wrapper.is_absolute() || !request.wrapper.is_file() {
        let advice =
            "install it, or name it with --wrapper; engines that are told of a program that is not there start nothing";
        return Err(Error::new(format!("there is no porthole-runc at {wrapper:?}: {advice}")).into());
    }
    if let Some(place) = PASSING.iter().find(|place| request.wrapper.starts_with(place)) {
        super::complain(&format!(
            "{wrapper} lies in {place}, which is emptied by others: containers do not start when it is gone; /usr/bin and /opt are \
             better places"
        ));
    }
    carry_out(&request, install::install(&request)?, true, &args.how)
}

pub fn uninstall(args: UninstallArgs) -> Result<(), Stop> {
    let request = args.places.request(args.engine, false);
    carry_out(&request, install::uninstall(&request)?, false, &args.how)
}

fn carry_out(request: &Request, mut change: Change, installing: bool, how: &How) -> Result<(), Stop> {
    for note in &change.notes {
        super::complain(note);
    }
    let path = change.path.display().to_string();
    if change.is_nothing() {
        if !how.dry_run {
            install::apply(request, &change, installing)?;
        }
        return print(&format!("{path}: nothing to change\n"));
    }
    if installing {
        install::check(request, &change)?;
    }
    let shown = install::diff(change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
    let gone = if change.after.is_none() { " (removed)" } else { "" };
    print(&format!("{path}{gone}\n{shown}"))?;
    if how.dry_run {
        return Ok(());
    }
    if !installing && !how.no_reload {
        install::forget(request, &mut change)?;
    }
    install::apply(request, &change, installing)?;
    print(&format!("{}\n", install::after(request, &change, !how.no_reload)))
}
