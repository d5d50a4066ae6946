//! Man pages and shell completions of `porthole`: `pages DIR` writes them below DIR as a package installs them below /usr.

use clap_complete::Shell;
use std::fs::{self, File};
use std::path::Path;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: pages DIR");
        std::process::exit(2);
    };
    let dir = Path::new(&dir);
    let man = dir.join("share/man/man1");
    fs::create_dir_all(&man)?;
    let mut command = porthole_collector::cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut File::create(man.join("porthole.1"))?)?;
    for verb in command.get_subcommands().filter(|v| v.get_name() != "help") {
        let name = format!("porthole-{}", verb.get_name());
        let page = clap_mangen::Man::new(verb.clone().display_name(&name)).title(&name);
        page.render(&mut File::create(man.join(format!("{name}.1")))?)?;
    }
    let places = [
        (Shell::Bash, "share/bash-completion/completions/porthole"),
        (Shell::Zsh, "share/zsh/vendor-completions/_porthole"),
        (Shell::Fish, "share/fish/vendor_completions.d/porthole.fish"),
    ];
    for (shell, place) in places {
        let path = dir.join(place);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        clap_complete::generate(shell, &mut command, "porthole", &mut File::create(path)?);
    }
    Ok(())
}
