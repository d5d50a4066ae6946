//! The command `porthole`.

mod early;

fn main() -> std::process::ExitCode {
    porthole_collector::cli::main()
}
