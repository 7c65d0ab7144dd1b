//! `cargo xtask COMMAND`: developer commands.
#![allow(clippy::print_stdout, reason = "a developer command talks on its standard output")]

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
cargo xtask check          fmt, tidy, spec, deny, clippy and doc: all must pass before a change is taken
cargo xtask tidy [--fix]   import direction, purity, size, leftovers, promises; --fix writes clippy.toml files
cargo xtask spec           sections of standards that are cited, tested, missing
cargo xtask deny           licences, sources and banned crates, by deny.toml";

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = xtask::root();
    match args.as_slice() {
        ["check"] => {
            let failed = xtask::check::run(&root, &mut |line| println!("{line}"))?;
            if failed.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            println!("failed: {}", failed.join(", "));
            Ok(ExitCode::FAILURE)
        }
        ["tidy"] => Ok(report(&xtask::tidy::tidy(&root)?)),
        ["tidy", "--fix"] => {
            println!("{} files written", xtask::tidy::fix(&root)?);
            Ok(report(&xtask::tidy::tidy(&root)?))
        }
        ["spec"] => {
            let table = xtask::spec::table(&xtask::sources::read(&root)?);
            print!("{}", table.render());
            Ok(report(&table.complaints))
        }
        ["deny"] => Ok(report(&xtask::deny::check(&root)?)),
        _ => {
            println!("{USAGE}");
            Ok(ExitCode::from(64))
        }
    }
}

fn report(complaints: &[xtask::Complaint]) -> ExitCode {
    for complaint in complaints {
        println!("{complaint}");
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
