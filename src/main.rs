//! The one binary `haven`: parse arguments, dispatch, nothing else.

mod daemon;

use std::process::ExitCode;

use clap::{Args, FromArgMatches};
use haven_api::{ApiError, Code};
use haven_cli::Extra;
use haven_lab::LabArgs;

fn main() -> ExitCode {
    let extras = [lab()];
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let code = haven_cli::run(std::env::args_os(), &daemon::Node, &extras, &mut out, &mut err);
    ExitCode::from(code)
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
