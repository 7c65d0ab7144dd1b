//! `haven lab` alone, without the rest of the program: `cargo run -p haven-lab --example lab -- lab up`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "A cluster in network namespaces")]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Rehearse: a whole cluster on this machine.
    Lab(haven_lab::LabArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let Command::Lab(args) = Program::parse().command;
    haven_lab::execute(args).map(ExitCode::from)
}
