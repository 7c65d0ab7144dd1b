//! `haven simulate` without the rest of haven.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let skip = usize::from(args.get(1).is_some_and(|a| a == "simulate"));
    let args = haven_simulate::Args::parse_from(args.into_iter().skip(skip));
    ExitCode::from(haven_simulate::run(&args, &mut std::io::stdout(), &mut std::io::stderr()))
}
