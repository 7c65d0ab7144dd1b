//! Units of systemd through its manager's D-Bus interface (org.freedesktop.systemd1(5)).
//!
//! ```text
//! start ─▶ drop-in written, Reload ─▶ StartUnit ─▶ JobRemoved(job, result) ─▶ ActiveState
//! stop  ─▶ StopUnit ─▶ JobRemoved ─▶ drop-in removed, Reload
//! ```
//!
//! While haven runs a unit, systemd must neither restart it by itself nor start it at boot before haven
//! nor stop it at shutdown behind haven's back: that is what the drop-in says.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use haven_executor::{Agent, AgentFuture, DescriptionFuture, HeldLease, Serves};
use haven_types::operation::{AgentName, ExecutionStatus, OcfCode, Operation, Outcome};
use zbus::OwnedObjectPath;

use crate::lsb::without_parameters;

const MANAGER: (&str, &str, &str) =
    ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
const UNIT: &str = "org.freedesktop.systemd1.Unit";
/// A unit that is on its way is asked again this often.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// File of the drop-in.
const DROP_IN: &str = "50-haven.conf";

/// Where the manager listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bus {
    /// The bus of the system.
    System,
    /// A bus at this address.
    At(String),
}

/// Units of one manager.
#[derive(Clone, Debug)]
pub struct SystemdUnits {
    bus: Bus,
    /// Drop-ins go to `UNIT.d` below it.
    runtime: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum UnitError {
    #[error(
        "systemd cannot be reached over D-Bus ({0}); resources of systemd: need a node whose init is \
         systemd"
    )]
    Unreachable(#[source] zbus::Error),
    #[error("there is no unit {0} on this node; install its package, or correct the name")]
    NotInstalled(String),
    #[error("unit {0} is masked on this node; systemctl unmask {0}")]
    Masked(String),
    #[error("systemd refused {attempt} of {unit}: {source}")]
    Refused {
        attempt: &'static str,
        unit: String,
        #[source]
        source: zbus::Error,
    },
    #[error("cannot write the override {path}: {source}")]
    Override {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("systemd's job for {attempt} of {unit} ended with {result}; systemctl status {unit}")]
    Job { attempt: &'static str, unit: String, result: String },
    #[error("{unit} is {state} after {attempt}; systemctl status {unit}")]
    State { attempt: &'static str, unit: String, state: String },
}

impl SystemdUnits {
    /// Units of the manager on `bus`; `runtime` is `/run/systemd/system`.
    #[must_use]
    pub const fn new(bus: Bus, runtime: PathBuf) -> Self {
        Self { bus, runtime }
    }

    pub(crate) async fn perform(&self, operation: Operation) -> Outcome {
        let Some(unit) = unit_name(&operation.agent.name) else {
            let reason = format!("{} cannot be the name of a unit", operation.agent);
            return Outcome::done(OcfCode::BAD_CONFIGURATION, reason);
        };
        let manager = match self.manager().await {
            Ok(manager) => manager,
            Err(error) => return failed(&error),
        };
        let done = match operation.action.as_str() {
            "start" => manager.start(&unit).await,
            "stop" => manager.stop(&unit).await,
            "monitor" => manager.monitor(&unit).await,
            other => {
                let reason = format!("a unit knows start, stop and monitor, not {other}");
                return Outcome::done(OcfCode::UNIMPLEMENTED, reason);
            }
        };
        done.unwrap_or_else(|error| failed(&error))
    }

    /// The manager by a connection of its own for each operation: one that breaks, or a call that is
    /// given up, concerns nobody else.
    async fn manager(&self) -> Result<Manager, UnitError> {
        let connection = match &self.bus {
            Bus::System => zbus::Connection::system().await,
            Bus::At(address) => zbus::connection::Builder::address(address.as_str()).build().await,
        };
        let connection = connection.map_err(UnitError::Unreachable)?;
        let (name, path, interface) = MANAGER;
        let proxy = zbus::Proxy::new(&connection, name, path, interface).await;
        Ok(Manager { proxy: proxy.map_err(UnitError::Unreachable)?, runtime: self.runtime.clone() })
    }
}

/// A connection to the manager.
struct Manager {
    proxy: zbus::Proxy<'static>,
    runtime: PathBuf,
}

impl Manager {
    /// What the manager knows of a unit: whether there is a file, and its state.
    async fn state(&self, unit: &str) -> Result<(String, String), UnitError> {
        let manager = &self.proxy;
        let refused = |source| refused("the state", unit, source);
        let path: OwnedObjectPath = manager.call("LoadUnit", &(unit,)).await.map_err(refused)?;
        let proxy: zbus::Proxy<'_> = zbus::proxy::Builder::new(manager.connection())
            .destination(MANAGER.0)
            .path(path)
            .interface(UNIT)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(refused)?;
        let load: String = proxy.get_property("LoadState").await.map_err(refused)?;
        let active: String = proxy.get_property("ActiveState").await.map_err(refused)?;
        Ok((load, active))
    }

    async fn monitor(&self, unit: &str) -> Result<Outcome, UnitError> {
        loop {
            let (load, active) = self.state(unit).await?;
            match (load.as_str(), active.as_str()) {
                (_, "active" | "reloading") => return Ok(Outcome::done(OcfCode::OK, "")),
                // On its way; the executor ends our patience.
                (_, "activating" | "deactivating" | "refreshing") => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                ("not-found", _) => return Err(UnitError::NotInstalled(unit.to_owned())),
                (_, "inactive") => return Ok(Outcome::done(OcfCode::NOT_RUNNING, "")),
                (_, other) => {
                    let reason = format!("{unit} is {other}; systemctl status {unit}");
                    // A unit that failed does not run; what failed is in the reason.
                    return Ok(Outcome::done(OcfCode::NOT_RUNNING, reason));
                }
            }
        }
    }

    async fn start(&self, unit: &str) -> Result<Outcome, UnitError> {
        match self.state(unit).await?.0.as_str() {
            "not-found" => return Err(UnitError::NotInstalled(unit.to_owned())),
            "masked" => return Err(UnitError::Masked(unit.to_owned())),
            _ => {}
        }
        self.write_override(unit)?;
        self.reload(unit).await?;
        self.job("StartUnit", "start", unit).await?;
        match self.settled(unit).await?.as_str() {
            "active" | "reloading" => Ok(Outcome::done(OcfCode::OK, "")),
            state => {
                let (unit, state) = (unit.to_owned(), state.to_owned());
                Err(UnitError::State { attempt: "start", unit, state })
            }
        }
    }

    async fn stop(&self, unit: &str) -> Result<Outcome, UnitError> {
        if self.state(unit).await?.0 != "not-found" {
            self.job("StopUnit", "stop", unit).await?;
            let state = self.settled(unit).await?;
            if !matches!(state.as_str(), "inactive" | "failed") {
                return Err(UnitError::State { attempt: "stop", unit: unit.to_owned(), state });
            }
        }
        let directory = self.runtime.join(format!("{unit}.d"));
        if std::fs::remove_file(directory.join(DROP_IN)).is_ok() {
            drop(std::fs::remove_dir(&directory));
            self.reload(unit).await?;
        }
        Ok(Outcome::done(OcfCode::OK, ""))
    }

    async fn settled(&self, unit: &str) -> Result<String, UnitError> {
        loop {
            let (_, active) = self.state(unit).await?;
            if !matches!(active.as_str(), "activating" | "deactivating" | "refreshing") {
                return Ok(active);
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Queues a job and waits for its end.
    async fn job(&self, method: &str, attempt: &'static str, unit: &str) -> Result<(), UnitError> {
        let manager = &self.proxy;
        let refused = |source| refused(attempt, unit, source);
        // Without a subscriber the manager tells nobody of the ends of jobs. A second subscription by
        // this connection is refused, which is as good.
        let _subscribed: Result<(), zbus::Error> = manager.call("Subscribe", &()).await;
        let mut ends = manager.receive_signal("JobRemoved").await.map_err(refused)?;
        let job: OwnedObjectPath =
            manager.call(method, &(unit, "replace")).await.map_err(refused)?;
        loop {
            let Some(message) = ends.next().await else {
                return Err(refused(zbus::Error::InputOutput(
                    io::Error::other("the bus closed the connection").into(),
                )));
            };
            let end: (u32, OwnedObjectPath, String, String) =
                message.body().deserialize().map_err(refused)?;
            if end.1 != job {
                continue;
            }
            return match end.3.as_str() {
                "done" | "skipped" => Ok(()),
                result => {
                    let (unit, result) = (unit.to_owned(), result.to_owned());
                    Err(UnitError::Job { attempt, unit, result })
                }
            };
        }
    }

    async fn reload(&self, unit: &str) -> Result<(), UnitError> {
        let manager = &self.proxy;
        manager.call("Reload", &()).await.map_err(|source| refused("reload", unit, source))
    }

    fn write_override(&self, unit: &str) -> Result<(), UnitError> {
        let directory = self.runtime.join(format!("{unit}.d"));
        let path = directory.join(DROP_IN);
        let section = if unit.ends_with(".socket") { "Socket" } else { "Service" };
        // Sockets know no Restart.
        let restart = if section == "Service" { "\n[Service]\nRestart=no\n" } else { "" };
        let text = format!(
            "# While haven runs this unit: see systemctl cat {unit}\n[Unit]\nDescription=%p, run by \
             haven\nBefore=haven.service\n{restart}"
        );
        let written =
            std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, text));
        written.map_err(|source| UnitError::Override { path, source })
    }
}

fn refused(attempt: &'static str, unit: &str, source: zbus::Error) -> UnitError {
    if let zbus::Error::MethodError(name, _, _) = &source {
        match name.as_str() {
            "org.freedesktop.systemd1.NoSuchUnit" => {
                return UnitError::NotInstalled(unit.to_owned());
            }
            "org.freedesktop.systemd1.UnitMasked" => return UnitError::Masked(unit.to_owned()),
            "org.freedesktop.DBus.Error.ServiceUnknown" => return UnitError::Unreachable(source),
            _ => {}
        }
    }
    UnitError::Refused { attempt, unit: unit.to_owned(), source }
}

fn failed(error: &UnitError) -> Outcome {
    let (status, code) = match error {
        UnitError::NotInstalled(_) | UnitError::Unreachable(_) => {
            (ExecutionStatus::NotInstalled, OcfCode::NOT_INSTALLED)
        }
        UnitError::Masked(_) => (ExecutionStatus::Done, OcfCode::NOT_INSTALLED),
        UnitError::Refused { .. }
        | UnitError::Override { .. }
        | UnitError::Job { .. }
        | UnitError::State { .. } => (ExecutionStatus::Done, OcfCode::ERROR),
    };
    Outcome { status, code, reason: error.to_string() }
}

/// Where units of the system are found (systemd.unit(5)), those made at start included.
const UNIT_PATHS: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Whether there is a file of the unit, or of the template it is made from.
pub(crate) fn is_installed(name: &str) -> bool {
    let Some(unit) = unit_name(name) else { return false };
    let template = unit
        .split_once('@')
        .and_then(|(base, rest)| Some(format!("{base}@.{}", rest.rsplit_once('.')?.1)));
    let names = std::iter::once(unit).chain(template);
    names
        .flat_map(|name| UNIT_PATHS.map(|path| std::path::Path::new(path).join(&name)))
        .any(|file| file.exists())
}

/// The full name of a unit (systemd.unit(5)): `.service` unless it names another kind.
fn unit_name(name: &str) -> Option<String> {
    let kinds = [
        ".service",
        ".socket",
        ".mount",
        ".timer",
        ".path",
        ".target",
        ".slice",
        ".scope",
        ".swap",
        ".device",
        ".automount",
    ];
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.chars().all(fits) {
        return None;
    }
    let kind = kinds.iter().any(|kind| name.ends_with(kind));
    Some(if kind { name.to_owned() } else { format!("{name}.service") })
}

impl Agent for SystemdUnits {
    fn serves(&self) -> Serves {
        Serves::Standard("systemd".to_owned())
    }

    fn leased_by_default(&self) -> bool {
        false
    }

    fn run(&self, operation: Operation, _lease: Option<HeldLease>) -> AgentFuture {
        let units = self.clone();
        Box::pin(async move { units.perform(operation).await })
    }

    fn describe(&self, agent: &AgentName) -> DescriptionFuture {
        let here = is_installed(&agent.name);
        Box::pin(async move { Some(without_parameters(here)) })
    }

    fn guarded(&self, _params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_kind_is_a_service() {
        assert_eq!(unit_name("nginx").as_deref(), Some("nginx.service"));
        assert_eq!(unit_name("getty@tty1").as_deref(), Some("getty@tty1.service"));
        assert_eq!(unit_name("srv-data.mount").as_deref(), Some("srv-data.mount"));
        for bad in ["", "../x", "a/b", ".x", "a b"] {
            assert_eq!(unit_name(bad), None, "{bad}");
        }
    }
}
