//! The command line entry: parse, run, turn the outcome into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::cli::main(std::env::args_os())
}
