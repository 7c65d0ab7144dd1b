//! The one binary `haven`: parse arguments, dispatch, nothing else.

mod agent;
mod daemon;

use std::process::ExitCode;

use clap::{Args, FromArgMatches};
use haven_api::{ApiError, Code};
use haven_cli::Extra;
use haven_lab::LabArgs;

#[global_allocator]
static ALLOCATOR: haven_host::memory::Allocator = haven_host::memory::Allocator;

fn main() -> ExitCode {
    let typed = agent::arguments(std::env::args_os().collect());
    let extras = [agent(), lab(), simulate()];
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let code = haven_cli::run(typed, &daemon::Node, &extras, &mut out, &mut err);
    ExitCode::from(code)
}

fn agent() -> Extra<'static> {
    let command = clap::Command::new("agent")
        .about("Act as an OCF agent for another cluster engine, or make the links it calls");
    Extra {
        command: agent::AgentArgs::augment_args(command),
        run: Box::new(|matches| {
            let args = agent::AgentArgs::from_arg_matches(matches)
                .map_err(|error| ApiError::new(Code::Usage, error.to_string()))?;
            agent::run(&args)
        }),
    }
}

fn lab() -> Extra<'static> {
    let command = clap::Command::new("lab")
        .about("Rehearse with a cluster in network namespaces: faults, and what clients notice");
    Extra {
        command: LabArgs::augment_args(command),
        run: Box::new(|matches| {
            let args = LabArgs::from_arg_matches(matches)
                .map_err(|error| ApiError::new(Code::Usage, error.to_string()))?;
            let code = haven_lab::run(args)
                .map_err(|error| ApiError::new(Code::Failed, format!("{error:#}")))?;
            Ok(u8::from(code != ExitCode::SUCCESS))
        }),
    }
}

fn simulate() -> Extra<'static> {
    let command = clap::Command::new("simulate")
        .about("Show what the policy engine would do, and what would come of it");
    Extra {
        command: haven_simulate::Args::augment_args(command),
        run: Box::new(|matches| {
            let args = haven_simulate::Args::from_arg_matches(matches)
                .map_err(|error| ApiError::new(Code::Usage, error.to_string()))?;
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            let live = || {
                let text = haven_cli::planning_input(matches, &daemon::Node)
                    .map_err(|error| error.to_string())?;
                haven_simulate::Snapshot::of_document(&text)
            };
            Ok(haven_simulate::run_with(&args, Some(&live), &mut out, &mut err))
        }),
    }
}
