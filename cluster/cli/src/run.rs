//! From typed words to an exit code.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use haven_api::{ApiError, Code, ReplyBody, RequestBody};

use crate::args::{CONFIG_VARIABLE, Cli, Command, DEFAULT_CONFIG};
use crate::output::Output;
use crate::shell::{self, Shell};
use crate::{Client, Daemon, commands, manual};

/// What an [`Extra`] does with its arguments; the answer is the exit code.
pub type ExtraRun<'a> = dyn Fn(&ArgMatches) -> Result<u8, ApiError> + 'a;

/// A command that another crate supplies through the root binary.
pub struct Extra<'a> {
    /// Its arguments and help.
    pub command: clap::Command,
    /// What it does.
    pub run: Box<ExtraRun<'a>>,
}

impl fmt::Debug for Extra<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extra").field("command", &self.command.get_name()).finish_non_exhaustive()
    }
}

/// The whole command line, with the extra commands between the others.
#[must_use]
pub fn command(extras: &[Extra<'_>]) -> clap::Command {
    extras.iter().fold(Cli::command(), |all, extra| all.subcommand(extra.command.clone()))
}

/// Carries out what was typed (`args`, program name first) and returns the exit code.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    daemon: &dyn Daemon,
    extras: &[Extra<'_>],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let mut command = command(extras);
    if shell::at_terminal() {
        command = command.subcommand_required(false).arg_required_else_help(false);
    }
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return not_a_command(&error, out, err),
    };
    if matches.subcommand_name().is_none_or(|name| name == "shell") {
        let below = matches.subcommand().map_or(&matches, |(_, below)| below);
        let config = below.get_one::<PathBuf>("config").cloned().unwrap_or_else(default_config);
        return Shell { config: &config, daemon, extras }.run(out, err);
    }
    let mut output = Output::new(matches.get_flag("json"), out, err);
    match dispatch(&matches, daemon, extras, &mut output) {
        Ok(code) => code,
        Err(error) => output.failure(&error),
    }
}

fn dispatch(
    matches: &ArgMatches,
    daemon: &dyn Daemon,
    extras: &[Extra<'_>],
    output: &mut Output<'_>,
) -> Result<u8, ApiError> {
    if let Some((name, below)) = matches.subcommand()
        && let Some(extra) = extras.iter().find(|extra| extra.command.get_name() == name)
    {
        return (extra.run)(below);
    }
    let cli = Cli::from_arg_matches(matches)
        .map_err(|error| ApiError::new(Code::Usage, error.to_string()))?;
    let config = cli.global.config.unwrap_or_else(default_config);
    match cli.command {
        Command::Shell => {
            return Err(ApiError::new(Code::Internal, "the shell begins before commands run"));
        }
        Command::Completion { shell } => {
            output.raw(&manual::completion(shell, &command(extras)))?
        }
        Command::Man { out: None } => output.raw(&manual::page("haven", command(extras))?)?,
        Command::Man { out: Some(folder) } => {
            let pages = manual::pages(command(extras), &folder)?;
            output.note(&format!("{pages} pages written to {}", folder.display()));
        }
        command @ (Command::Cluster(_)
        | Command::Status(_)
        | Command::Events(_)
        | Command::Configure(_)
        | Command::Node(_)
        | Command::Resource(_)
        | Command::Ip(_)
        | Command::Explain(_)) => return commands::run(command, &config, daemon, output),
    }
    Ok(0)
}

/// What the coordinator plans with, configuration and status as one CIB document: for an [`Extra`],
/// by the arguments it was given.
///
/// # Errors
/// When the daemon cannot be reached or cannot answer.
pub fn planning_input(matches: &ArgMatches, daemon: &dyn Daemon) -> Result<String, ApiError> {
    let config = configuration_file(matches);
    let mut client = Client::connect(&daemon.control_socket(&config)?)?;
    let reply = client.call(RequestBody::PlanningInput)?;
    let ReplyBody::Configuration { text, .. } = reply else {
        return Err(commands::unexpected(&reply));
    };
    Ok(text)
}

/// This node's configuration file, by the arguments that an [`Extra`] was given.
#[must_use]
pub fn configuration_file(matches: &ArgMatches) -> PathBuf {
    let named = matches.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    named.unwrap_or_else(default_config)
}

fn default_config() -> PathBuf {
    std::env::var_os(CONFIG_VARIABLE).map_or_else(|| DEFAULT_CONFIG.into(), PathBuf::from)
}

/// Help and version are results; everything else that clap says is wrong usage.
fn not_a_command(error: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let text = error.render();
    // There is nobody to tell when writing fails.
    if error.use_stderr() {
        drop(write!(err, "{text}"));
        Code::Usage.exit_code()
    } else {
        drop(write!(out, "{text}"));
        0
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
