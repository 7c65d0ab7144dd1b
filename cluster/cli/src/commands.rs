//! Each command: a request, and what its reply means for the caller.

mod amend;
mod attribute;
mod cluster;
mod configure;
mod events;
mod explain;
mod ip;
mod node;
mod resource;
mod status;

use std::path::Path;
use std::time::Duration;

use haven_api::{ApiError, Code, Notice, ReplyBody, RequestBody};

use crate::args::{Command, Waiting};
use crate::output::Output;
use crate::{Client, Daemon, duration, render};

/// What a command works with.
struct Session<'a, 'b> {
    config: &'a Path,
    daemon: &'a dyn Daemon,
    output: &'a mut Output<'b>,
}

pub(crate) fn run(
    command: Command,
    config: &Path,
    daemon: &dyn Daemon,
    output: &mut Output<'_>,
) -> Result<u8, ApiError> {
    let mut session = Session { config, daemon, output };
    match command {
        Command::Cluster(command) => cluster::run(command, &mut session),
        Command::Status(args) => status::run(&args, &mut session),
        Command::Events(args) => events::run(&args, &mut session),
        Command::Configure(command) => configure::run(command, &mut session),
        Command::Node(command) => node::run(command, &mut session),
        Command::Resource(command) => resource::run(command, &mut session),
        Command::Ip(command) => ip::run(&command, &mut session),
        Command::Explain(args) => explain::run(args, &mut session),
        Command::Completion { .. } | Command::Man { .. } | Command::Shell => Err(ApiError::new(
            Code::Internal,
            "completion and manual are made from the whole command line, before commands run",
        )),
    }
}

/// Loads lines that declare objects.
pub(crate) fn declare(
    text: String,
    config: &Path,
    daemon: &dyn Daemon,
    output: &mut Output<'_>,
) -> Result<u8, ApiError> {
    configure::declare(text, &mut Session { config, daemon, output })
}

impl Session<'_, '_> {
    fn connect(&self) -> Result<Client, ApiError> {
        Client::connect(&self.daemon.control_socket(self.config)?)
    }

    /// One request with one reply.
    fn ask(&self, body: RequestBody) -> Result<ReplyBody, ApiError> {
        self.connect()?.call(body)
    }

    /// One request with one reply; shows progress until it comes.
    fn ask_showing_progress(&mut self, body: RequestBody) -> Result<ReplyBody, ApiError> {
        let mut client = self.connect()?;
        let output = &mut *self.output;
        client.call_with(body, Some(Duration::from_secs(15)), &mut |reply| {
            if let ReplyBody::Progress(notice) = &reply {
                output.progress(notice);
            }
            Ok(())
        })
    }

    /// A change: shows progress while it is carried out, and the outcome.
    fn change(&mut self, body: RequestBody, waiting: Option<&Waiting>) -> Result<u8, ApiError> {
        // The daemon keeps the time limit and reports on it; this one only ends a wait for a hung daemon.
        let grace = Duration::from_secs(15);
        let silence =
            waiting.filter(|waiting| !waiting.no_wait).map_or(grace, |w| w.timeout + grace);
        let mut client = self.connect()?;
        let output = &mut *self.output;
        let reply = client.call_with(body, Some(silence), &mut |reply| {
            if let ReplyBody::Progress(notice) = &reply {
                output.progress(notice);
            }
            Ok(())
        })?;
        let ReplyBody::Done(notice) = &reply else { return Err(unexpected(&reply)) };
        self.output.result(&reply, |_| done(notice))?;
        Ok(0)
    }
}

fn done(notice: &Notice) -> String {
    format!("{} ({})\n", notice.text, duration::age(notice.elapsed_ms))
}

/// What the API is asked by `--no-wait` and `--timeout`.
fn wait_of(waiting: &Waiting) -> (bool, Option<u64>) {
    (!waiting.no_wait, Some(duration::millis(waiting.timeout)))
}

/// The error for a reply of the wrong kind.
pub(crate) fn unexpected(reply: &ReplyBody) -> ApiError {
    let kind = serde_json::to_value(reply)
        .ok()
        .and_then(|value| value.as_object().and_then(|object| object.keys().next().cloned()))
        .unwrap_or_else(|| "something unreadable".to_owned());
    ApiError::new(Code::Internal, format!("the daemon answered with {kind}, which does not fit"))
        .remedy("use the same version of haven for the command and the daemon")
}

/// Prints findings with a reply that carries them.
fn findings_below(mut text: String, findings: &[haven_api::Finding]) -> String {
    text.push_str(&render::findings(findings));
    text
}
