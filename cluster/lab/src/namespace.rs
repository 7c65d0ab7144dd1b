//! Network namespaces and the commands run in them.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::LabError;

/// Where `ip netns` keeps the names of namespaces.
const NAMED: &str = "/run/netns";

/// Path of the namespace called `name`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(NAMED).join(name)
}

/// Names of all namespaces that start with `prefix`, sorted.
#[must_use]
pub fn with_prefix(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(NAMED).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|n| n.starts_with(prefix)).collect();
    names.sort();
    names
}

/// Moves the calling thread, and what it starts from now on, into the namespace called `name`.
///
/// # Errors
/// [`LabError::Io`] when the namespace is missing or the caller lacks the privilege.
pub fn enter(name: &str) -> Result<(), LabError> {
    let path = path(name);
    let file =
        File::open(&path).map_err(LabError::io(format!("open namespace {}", path.display())))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|e| LabError::io(format!("enter namespace {name}"))(e.into()))
}

/// Runs `work` on a thread of its own inside the namespace called `name`. Sockets made there stay
/// there; processes started there live there.
///
/// # Errors
/// Those of [`enter`] and of `work`.
pub fn within<T: Send>(
    name: &str,
    work: impl FnOnce() -> Result<T, LabError> + Send,
) -> Result<T, LabError> {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter(name)?;
            work()
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs a command to its end with `input` on its standard input.
///
/// # Errors
/// [`LabError::MissingProgram`] when there is no such program, [`LabError::Command`] when it ends
/// with another status than 0; the message carries what it printed.
pub fn run(command: &mut Command, input: &str, place: &str) -> Result<String, LabError> {
    let output = output(command, input)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LabError::Command {
        command: words(command),
        place: place.to_owned(),
        output: format!("{}: {}{}", output.status, said.trim(), text.trim()),
    })
}

/// Runs a command to its end and returns all it left behind.
///
/// # Errors
/// [`LabError::MissingProgram`] when there is no such program, [`LabError::Io`] otherwise.
pub fn output(command: &mut Command, input: &str) -> Result<Output, LabError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| not_started(command, error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input closes it; its exit status tells the rest.
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait_with_output().map_err(LabError::io(format!("wait for {}", words(command))))
}

/// The error for a command that could not be started.
pub(crate) fn not_started(command: &Command, error: std::io::Error) -> LabError {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() != std::io::ErrorKind::NotFound {
        return LabError::io(format!("start {program}"))(error);
    }
    let package = match program.as_str() {
        "ip" => "iproute2",
        "nft" => "nftables",
        other => other,
    };
    LabError::MissingProgram { package: package.to_owned(), program }
}

fn words(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs `ip` commands, one a line, in the namespace called `name` or in the host's.
///
/// # Errors
/// Those of [`run`].
pub fn ip_batch(name: Option<&str>, lines: &str) -> Result<String, LabError> {
    let mut command = Command::new("ip");
    if let Some(name) = name {
        command.args(["-n", name]);
    }
    run(command.args(["-batch", "-"]), lines, name.unwrap_or("the host"))
}

/// Loads an nftables ruleset in the namespace called `name`, in one transaction.
///
/// # Errors
/// Those of [`run`] and [`within`].
pub fn nft(name: &str, ruleset: &str) -> Result<String, LabError> {
    within(name, || run(Command::new("nft").args(["-f", "-"]), ruleset, name))
}

/// Writes kernel settings (`net/…` paths below /proc/sys and their values) in a namespace.
///
/// # Errors
/// [`LabError::Io`] naming the setting.
pub fn sysctl(name: &str, settings: &[(&str, &str)]) -> Result<(), LabError> {
    within(name, || {
        for (key, value) in settings {
            let path = Path::new("/proc/sys").join(key);
            match std::fs::write(&path, value) {
                // A kernel without IPv6 has none of its settings.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                other => other.map_err(LabError::io(format!("set {key} to {value} in {name}")))?,
            }
        }
        Ok(())
    })
}
