//! Programs that agents of others call, by their own names and options: `crm_attribute`, `crm_master`,
//! `attrd_updater`, `crm_node`, `crm_resource`, `crm_mon`.
//!
//! ```text
//!  agent ─▶ crm_attribute --promotion -v 10 ─▶ a link to haven ─▶ Step ─▶ control socket
//! ```
//!
//! The daemon puts links of these names first in the `PATH` of the agents it runs, and names itself to
//! them in `HAVEN_CONFIG`. What an agent does not use is not here: people have `haven`.

mod answer;
mod attributes;
mod cluster;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches};
use haven_api::{ApiError, Code, ReplyBody, RequestBody};

use crate::{Client, Daemon};

/// The names under which this program is one of the tools.
pub const TOOLS: &[&str] =
    &["attrd_updater", "crm_attribute", "crm_master", "crm_mon", "crm_node", "crm_resource"];

/// What a tool does: requests, and what is printed of the answers.
enum Step {
    /// Ask, print what the function makes of the answer; its error is the tool's.
    Ask(RequestBody, Printer),
    /// Change; print nothing.
    Change(RequestBody),
    /// Ask, and make the next step of the answer.
    Then(RequestBody, Next),
}

type Printer = Box<dyn FnOnce(&ReplyBody) -> Result<String, ApiError>>;
type Next = Box<dyn FnOnce(&ReplyBody) -> Result<Vec<Step>, ApiError>>;

/// Whether a path calls one of the tools, and which.
#[must_use]
pub fn tool_called(program: &std::ffi::OsStr) -> Option<&'static str> {
    let name = std::path::Path::new(program).file_name()?.to_str()?;
    TOOLS.iter().copied().find(|tool| *tool == name)
}

/// Is the tool `name`: `args` with the program's name first. The answer is the exit code.
pub fn run_tool(
    name: &'static str,
    args: &[OsString],
    daemon: &dyn Daemon,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let done = understood(name, args, &|variable| std::env::var(variable).ok())
        .and_then(|steps| perform(steps, daemon));
    let failure = match done {
        Ok(text) => match out.write_all(text.as_bytes()) {
            Ok(()) => return 0,
            Err(error) => ApiError::new(Code::Failed, error.to_string()),
        },
        Err(error) => error,
    };
    // Nobody is left to tell when standard error is gone.
    drop(writeln!(err, "{name}: {failure}"));
    failure.code.exit_code()
}

type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn understood(
    name: &'static str,
    args: &[OsString],
    environment: &Environment<'_>,
) -> Result<Vec<Step>, ApiError> {
    match name {
        "crm_attribute" => attributes::crm_attribute(&parsed(name, args)?, environment),
        "crm_master" => attributes::crm_master(&parsed(name, args)?, environment),
        "attrd_updater" => attributes::attrd_updater(&parsed(name, args)?),
        "crm_node" => cluster::crm_node(&parsed(name, args)?),
        "crm_resource" => cluster::crm_resource(&parsed(name, args)?),
        "crm_mon" => Ok(cluster::crm_mon()),
        _ => Err(ApiError::new(Code::Usage, format!("there is no tool {name}"))),
    }
}

fn parsed<T: CommandFactory + FromArgMatches>(
    name: &'static str,
    args: &[OsString],
) -> Result<T, ApiError> {
    let usage = |error: clap::Error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        ApiError::new(Code::Usage, line)
    };
    let command = T::command().name(name).disable_version_flag(true);
    let matches = command.try_get_matches_from(args).map_err(usage)?;
    T::from_arg_matches(&matches).map_err(usage)
}

fn perform(steps: Vec<Step>, daemon: &dyn Daemon) -> Result<String, ApiError> {
    let config = std::env::var_os(crate::args::CONFIG_VARIABLE)
        .map_or_else(|| crate::args::DEFAULT_CONFIG.into(), PathBuf::from);
    let mut client = Client::connect(&daemon.control_socket(&config)?)?;
    let mut steps: std::collections::VecDeque<Step> = steps.into();
    let mut printed = String::new();
    while let Some(step) = steps.pop_front() {
        match step {
            Step::Ask(body, print) => printed.push_str(&print(&client.call(body)?)?),
            Step::Change(body) => {
                client.call(body)?;
            }
            Step::Then(body, next) => steps.extend(next(&client.call(body)?)?),
        }
    }
    Ok(printed)
}

#[cfg(test)]
#[path = "tools/tests.rs"]
mod tests;
