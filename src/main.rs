//! The one binary `haven`: parse arguments, dispatch, nothing else.

mod agent;
mod daemon;
mod knowledge;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, FromArgMatches, Parser};
use haven_api::{ApiError, Code};
use haven_cli::Extra;
use haven_lab::LabArgs;

#[global_allocator]
static ALLOCATOR: haven_host::memory::Allocator = haven_host::memory::Allocator;

fn main() -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let typed: Vec<_> = std::env::args_os().collect();
    if let Some(tool) = typed.first().and_then(|program| haven_cli::tool_called(program)) {
        let code = haven_cli::run_tool(tool, &typed, &daemon::Node, &mut out, &mut err);
        return ExitCode::from(code);
    }
    let typed = agent::arguments(typed);
    if let Some(code) = simulate_alone(&typed) {
        return code;
    }
    let extras = [agent(), lab(), simulate()];
    let code = haven_cli::run(typed, &daemon::Node, &extras, &mut out, &mut err);
    ExitCode::from(code)
}

fn agent() -> Extra<'static> {
    Extra {
        command: agent::AgentArgs::augment_args(clap::Command::new("agent")),
        run: Box::new(|matches| {
            let args = agent::AgentArgs::from_arg_matches(matches)
                .map_err(|error| ApiError::new(Code::Usage, error.to_string()))?;
            agent::run(&args, &haven_cli::configuration_file(matches))
        }),
    }
}

fn lab() -> Extra<'static> {
    Extra {
        command: LabArgs::augment_args(clap::Command::new("lab")),
        run: Box::new(|matches| {
            let args = LabArgs::from_arg_matches(matches)
                .map_err(|error| ApiError::new(Code::Usage, error.to_string()))?;
            haven_lab::execute(args)
                .map_err(|error| ApiError::new(Code::Failed, format!("{error:#}")))
        }),
    }
}

/// A saved configuration is asked about often and in big numbers, so the other commands are left out of it. Whatever
/// needs them (help, a mistake, the running cluster) is answered with all of them.
fn simulate_alone(typed: &[OsString]) -> Option<ExitCode> {
    let (_, words) = typed.split_first().filter(|(_, w)| w.first().is_some_and(|w| w == NAME))?;
    haven_host::memory::ends_soon();
    let args = haven_simulate::Args::try_parse_from(words).ok().filter(|a| !a.live_check)?;
    let text = args.xml_file.as_ref().and_then(|file| std::fs::metadata(file).ok());
    let length = text.map_or(0, |text| usize::try_from(text.len()).unwrap_or(0));
    haven_host::memory::expect(length.saturating_mul(MEMORY_PER_BYTE));
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    Some(ExitCode::from(haven_simulate::run(&args, &mut out, &mut err)))
}

/// What planning takes at least in small blocks, in bytes for each byte of configuration and status.
const MEMORY_PER_BYTE: usize = 6;

/// The command that asks the policy engine.
const NAME: &str = "simulate";

fn simulate() -> Extra<'static> {
    Extra {
        command: haven_simulate::Args::augment_args(clap::Command::new(NAME)),
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
