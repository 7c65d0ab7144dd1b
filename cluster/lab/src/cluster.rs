//! A cluster in a bed: the software under test, the service behind the VIP, and the client that
//! asks who serves.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::error::LabError;
use crate::fault::Fault;
use crate::namespace;
use crate::system::System;
use crate::topology::{Place, SERVICE_PORT};
use crate::wait;

/// How long an address may take until it is served after everything was started or healed.
const SERVED_LIMIT: Duration = Duration::from_secs(60);

/// A lab with its software.
pub struct Cluster {
    /// Namespaces and network.
    pub bed: Bed,
    /// The software under test.
    pub system: Box<dyn System>,
    /// When the last daemon was started, as far as this process knows.
    started: Cell<Option<Instant>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bed", &self.bed).finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster in a bed that stands.
    #[must_use]
    pub fn of(bed: Bed) -> Self {
        let system = bed.system().driver();
        Self { bed, system, started: Cell::new(None) }
    }

    /// Starts services and daemons in a fresh bed and waits until every VIP is served; tells
    /// `progress` each step.
    ///
    /// # Errors
    /// Those of [`Self::form`].
    pub fn start(bed: Bed, progress: &mut dyn FnMut(&str)) -> Result<Self, LabError> {
        let cluster = Self::of(bed);
        cluster.form(progress)?;
        Ok(cluster)
    }

    /// Starts services and daemons, none of which runs yet, and waits until every VIP is served.
    ///
    /// # Errors
    /// Those of the software's commands; [`LabError::TimedOut`] when an address is not served.
    pub fn form(&self, progress: &mut dyn FnMut(&str)) -> Result<(), LabError> {
        for node in self.bed.topology().workers() {
            self.start_service(&node.name)?;
        }
        progress(&format!("forming the cluster ({})", self.bed.system()));
        self.system.form(&self.bed)?;
        let formed = Instant::now();
        progress("waiting until the address is served");
        self.wait_served()?;
        progress("waiting until every node has its full say");
        let members = self.bed.topology().nodes.len();
        wait_for(formed + self.system.forming_time(members));
        Ok(())
    }

    fn start_service(&self, node: &str) -> Result<(), LabError> {
        let bed = &self.bed;
        let mut command = Command::new(bed.haven());
        command.args(["lab", "--name", &bed.topology().name, "--dir"]).arg(bed.dir());
        command.args(["serve", node]);
        let log = bed.node_dir(node).join("service.log");
        bed.spawn(&Place::Node(node.to_owned()), &mut command, &log).map(drop)
    }

    fn service_runs(&self, node: &str) -> bool {
        self.bed.usage(node, is_service).is_ok_and(|usage| usage.rss_kib > 0)
    }

    /// The node that answers a client on `vip`, asked once per 20 ms for up to `limit`.
    ///
    /// # Errors
    /// Those of entering the client's namespace.
    pub fn owner(&self, vip: IpAddr, limit: Duration) -> Result<Option<String>, LabError> {
        let client = self.bed.topology().namespace(&Place::Client);
        let index = namespace::within(&client, || {
            let any: SocketAddr =
                if vip.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
            let failed = || LabError::io("ask the service from the client");
            let socket = UdpSocket::bind(any).map_err(failed())?;
            socket.set_read_timeout(Some(Duration::from_millis(20))).map_err(failed())?;
            let mut answer = None;
            wait::until(limit, Duration::ZERO, || {
                let mut buffer = [0; 16];
                let sent = socket.send_to(&[0; 8], SocketAddr::new(vip, SERVICE_PORT));
                if sent.is_err() {
                    std::thread::sleep(Duration::from_millis(20));
                }
                if let Ok((9, _)) = socket.recv_from(&mut buffer) {
                    answer = Some(buffer[8]);
                }
                answer.is_some()
            });
            Ok(answer)
        })?;
        let nodes = &self.bed.topology().nodes;
        Ok(nodes.iter().find(|n| Some(n.index) == index).map(|n| n.name.clone()))
    }

    /// Waits until every VIP is served.
    ///
    /// # Errors
    /// [`LabError::TimedOut`] naming the address and the logs.
    pub fn wait_served(&self) -> Result<(), LabError> {
        for vip in self.bed.topology().vips() {
            self.owner(vip, SERVED_LIMIT)?.ok_or_else(|| LabError::TimedOut {
                what: format!("service at {vip}"),
                seconds: SERVED_LIMIT.as_secs(),
                hint: format!("see the logs {}/*/daemon.log", self.bed.dir().display()),
            })?;
        }
        Ok(())
    }

    /// Does a fault.
    ///
    /// # Errors
    /// Those of [`Bed::inject`].
    pub fn inject(&mut self, fault: &Fault) -> Result<(), LabError> {
        self.bed.inject(fault)
    }

    /// Takes every fault back, starts what was killed again, and waits until all are members and
    /// every address is served.
    ///
    /// # Errors
    /// [`LabError::TimedOut`] when the cluster does not come together.
    pub fn restore(&mut self) -> Result<(), LabError> {
        self.bed.heal()?;
        self.start_missing()?;
        let settled = || self.system.settled(&self.bed);
        if !wait::until(SERVED_LIMIT, Duration::from_millis(20), settled) {
            return Err(LabError::TimedOut {
                what: "the return of every node".to_owned(),
                seconds: SERVED_LIMIT.as_secs(),
                hint: format!("see the logs {}/*/daemon.log", self.bed.dir().display()),
            });
        }
        self.wait_say();
        self.system.forget_failures(&self.bed)?;
        self.wait_served()
    }

    /// Restarts the daemon of `node` as an upgrade does it.
    ///
    /// # Errors
    /// Those of [`System::restart`].
    pub fn restart(&self, node: &str) -> Result<(), LabError> {
        self.system.restart(&self.bed, node)?;
        self.started.set(Some(Instant::now()));
        Ok(())
    }

    /// Waits until the daemon started last has its full say.
    fn wait_say(&self) {
        let Some(started) = self.started.get() else { return };
        wait_for(started + self.system.settle_time());
    }

    /// Starts every service and daemon that does not run.
    ///
    /// # Errors
    /// Those of starting a program.
    pub fn start_missing(&self) -> Result<(), LabError> {
        let nodes = &self.bed.topology().nodes;
        nodes.iter().try_for_each(|node| self.start_missing_of(&node.name))
    }

    /// Starts the service and the daemon of `node` if they do not run.
    ///
    /// # Errors
    /// [`LabError::NoSuchNode`], and those of starting a program.
    pub fn start_missing_of(&self, node: &str) -> Result<(), LabError> {
        let node = self.bed.topology().node(node)?;
        if !node.witness && !self.service_runs(&node.name) {
            self.start_service(&node.name)?;
        }
        if !self.system.runs(&self.bed, &node.name) {
            self.system.start(&self.bed, &node.name)?;
            self.started.set(Some(Instant::now()));
        }
        Ok(())
    }

    /// Makes `node` the owner of `vip`, if it is not, and waits until it serves.
    ///
    /// # Errors
    /// Those of the software's commands; [`LabError::TimedOut`] when the address stays away.
    pub fn place(&mut self, vip: IpAddr, node: &str) -> Result<(), LabError> {
        let owner = self.owner(vip, SERVED_LIMIT)?;
        let Some(from) = owner.filter(|owner| owner != node) else { return Ok(()) };
        self.system.switch_over(&self.bed, vip, &from, node)?;
        let arrived = wait::until(SERVED_LIMIT, Duration::from_millis(10), || {
            self.owner(vip, Duration::from_millis(200)).is_ok_and(|o| o.as_deref() == Some(node))
        });
        if !arrived {
            return Err(LabError::TimedOut {
                what: format!("the move of {vip} from {from} to {node}"),
                seconds: SERVED_LIMIT.as_secs(),
                hint: format!("see the logs {}/*/daemon.log", self.bed.dir().display()),
            });
        }
        self.system.after_switch_over(&self.bed, &from)?;
        self.restore()
    }

    /// Logs worth keeping when something went wrong.
    #[must_use]
    pub fn logs(&self) -> Vec<PathBuf> {
        let nodes = self.bed.topology().nodes.iter();
        nodes.map(|n| self.system.log(&self.bed, &n.name)).collect()
    }
}

fn wait_for(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn is_service(line: &str) -> bool {
    line.contains(" lab ") && line.contains(" serve ")
}
