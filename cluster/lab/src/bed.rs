//! The bed: namespaces, bridges and cables of a lab, and the faults done to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::fault::{Fault, NetworkFaults};
use crate::interrupt;
use crate::namespace;
use crate::processes;
use crate::ruleset::{delayed_paths, ruleset};
use crate::system::SystemKind;
use crate::topology::{Net, Place, Topology, prefix_length};

/// Where the labs of this host keep their run directories.
pub const RUN_ROOT: &str = "/run/haven-lab";
/// Where the labs of this host keep what belongs on a real disk.
pub const STATE_ROOT: &str = "/var/lib/haven-lab";

/// What is remembered of a lab between two commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    topology: Topology,
    faults: NetworkFaults,
    haven: PathBuf,
    state: PathBuf,
    config: String,
    system: SystemKind,
}

/// A lab's namespaces and network on this host.
#[derive(Debug)]
pub struct Bed {
    dir: PathBuf,
    remembered: Remembered,
}

/// How a bed is made.
#[derive(Clone, Debug)]
pub struct BedOptions {
    /// The plan.
    pub topology: Topology,
    /// Run directory; default [`RUN_ROOT`]/NAME.
    pub dir: Option<PathBuf>,
    /// Program that holds `haven node run` and `haven lab`.
    pub haven: PathBuf,
    /// Cluster configuration, crm lines.
    pub config: String,
    /// The cluster software that runs in it.
    pub system: SystemKind,
}

impl Bed {
    /// Builds the namespaces, bridges and cables; removes first what an earlier lab of that name
    /// left.
    ///
    /// # Errors
    /// [`LabError::NotRoot`], [`LabError::MissingProgram`], and those of the commands it runs;
    /// what was built until then is removed again.
    pub fn create(options: BedOptions) -> Result<Self, LabError> {
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        for family in ["ipv4", "ipv6"] {
            let bound = format!("/proc/sys/net/{family}/neigh/default/gc_thresh3");
            // Not to be seen in a namespace of its own: then nothing is known, and nothing said.
            let bound = std::fs::read_to_string(bound).unwrap_or_default();
            if let Ok(most) = bound.trim().parse() {
                options.topology.fits_neighbours(family, most)?;
            }
        }
        let name = options.topology.name.clone();
        let (dir, state) = directories(&name, options.dir.clone());
        let faults = NetworkFaults::default();
        let BedOptions { topology, haven, config, system, dir: _ } = options;
        let remembered = Remembered { topology, faults, haven, state, config, system };
        let bed = Self { dir, remembered };
        bed.sweep()?;
        let built = bed.build();
        if built.is_err() {
            bed.sweep()?;
        }
        built.map(|()| bed)
    }

    /// Opens the lab called `name`.
    ///
    /// # Errors
    /// [`LabError::NoSuchLab`] when there is none, [`LabError::State`] when its state is unreadable.
    pub fn open(name: &str, dir: Option<PathBuf>) -> Result<Self, LabError> {
        let (dir, _) = directories(name, dir);
        let path = dir.join("lab.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(LabError::NoSuchLab { name: name.to_owned(), path });
            }
            Err(e) => return Err(LabError::io(format!("read {}", path.display()))(e)),
        };
        let remembered =
            serde_json::from_slice(&text).map_err(|source| LabError::State { path, source })?;
        Ok(Self { dir, remembered })
    }

    /// Removes the lab called `name` with everything that belongs to it, also when its state is
    /// missing or unreadable. Returns whether there was anything.
    ///
    /// # Errors
    /// Those of killing processes, deleting namespaces and directories.
    pub fn remove(name: &str, dir: Option<PathBuf>) -> Result<bool, LabError> {
        let (dir, state) = directories(name, dir);
        let namespaces = sweep_namespaces(name)?;
        let mut found = namespaces > 0;
        for path in [&dir, &state] {
            found |= remove_directory(path)?;
        }
        Ok(found)
    }

    /// Names of the labs of this host: those with a run directory below [`RUN_ROOT`], and those a
    /// crash left namespaces of.
    #[must_use]
    pub fn list() -> Vec<String> {
        let entries = std::fs::read_dir(RUN_ROOT).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        for namespace in namespace::with_prefix("hvlab-") {
            let rest = namespace.trim_start_matches("hvlab-");
            names.extend(rest.split_once('.').map(|(name, _)| name.to_owned()));
        }
        names.sort();
        names.dedup();
        names
    }

    /// The plan of the lab.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.remembered.topology
    }

    /// The lasting faults of its network.
    #[must_use]
    pub const fn faults(&self) -> &NetworkFaults {
        &self.remembered.faults
    }

    /// The program that holds `haven node run` and `haven lab`.
    #[must_use]
    pub fn haven(&self) -> &Path {
        &self.remembered.haven
    }

    /// The cluster configuration the lab was made with, crm lines.
    #[must_use]
    pub fn config(&self) -> &str {
        &self.remembered.config
    }

    /// The cluster software that runs in the lab.
    #[must_use]
    pub const fn system(&self) -> SystemKind {
        self.remembered.system
    }

    /// Run directory of the lab.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Run directory of a node: its configuration, socket and log.
    #[must_use]
    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.dir.join(node)
    }

    /// Directory on a real disk for what a node must not lose.
    #[must_use]
    pub fn node_state(&self, node: &str) -> PathBuf {
        self.remembered.state.join(node)
    }

    fn namespace(&self, place: &Place) -> String {
        self.topology().namespace(place)
    }

    fn sweep(&self) -> Result<(), LabError> {
        sweep_namespaces(&self.topology().name)?;
        remove_directory(&self.dir)?;
        remove_directory(&self.remembered.state)?;
        Ok(())
    }

    fn build(&self) -> Result<(), LabError> {
        for node in &self.topology().nodes {
            for path in [self.node_dir(&node.name), self.node_state(&node.name)] {
                std::fs::create_dir_all(&path)
                    .map_err(LabError::io(format!("create {}", path.display())))?;
            }
        }
        self.save()?;
        let places: Vec<_> = self.topology().places().iter().map(|p| self.namespace(p)).collect();
        let add: String = places.iter().map(|name| format!("netns add {name}\n")).collect();
        namespace::ip_batch(None, &add)?;
        for name in &places {
            namespace::sysctl(name, SETTINGS)?;
        }
        namespace::ip_batch(Some(&self.namespace(&Place::Bridges)), &self.cables())?;
        for place in self.topology().places() {
            let lines = self.addresses(&place);
            namespace::ip_batch(Some(&self.namespace(&place)), &lines)?;
        }
        self.load_ruleset()
    }

    /// `ip` lines that make bridges and cables, for the namespace of the bridges.
    fn cables(&self) -> String {
        let mut lines = String::new();
        for net in Net::ALL {
            let bridge = net.bridge();
            lines += &format!(
                "link add name {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
                 link set dev {bridge} up\n"
            );
        }
        let mut cable = |port: &str, net: Net, namespace: &str, mac: &str| {
            let (bridge, interface) = (net.bridge(), net.interface());
            lines += &format!(
                "link add name {port} type veth peer name {interface} address {mac} netns {namespace}\n\
                 link set dev {port} master {bridge} up\n"
            );
        };
        for node in &self.topology().nodes {
            for net in Net::ALL {
                let mac = format!("02:68:76:00:{:02x}:{:02x}", net as u8, node.index);
                let place = Place::Node(node.name.clone());
                cable(&node.port(net), net, &self.namespace(&place), &mac);
            }
        }
        cable("client", Net::Client, &self.namespace(&Place::Client), "02:68:76:00:01:fa");
        lines
    }

    fn addresses(&self, place: &Place) -> String {
        let mut lines = "link set dev lo up\n".to_owned();
        match place {
            Place::Bridges => {}
            Place::Client => {
                let addresses = self.topology().client_addresses().into_iter();
                lines.extend(addresses.map(|a| address_line("client", a)));
                lines += "link set dev client up\n";
            }
            Place::Node(name) => {
                let Ok(node) = self.topology().node(name) else { return lines };
                for net in Net::ALL {
                    // Every family in use exists on both networks: a VIP's own network included.
                    let addresses = self.topology().families().into_iter();
                    let addresses = addresses.map(|v6| net.address(node.index, v6));
                    lines.extend(addresses.map(|a| address_line(net.interface(), a)));
                    lines += &format!("link set dev {} up\n", net.interface());
                }
            }
        }
        lines
    }

    fn load_ruleset(&self) -> Result<(), LabError> {
        let text = ruleset(self.topology(), self.faults());
        namespace::nft(&self.namespace(&Place::Bridges), &text).map(drop)
    }

    fn save(&self) -> Result<(), LabError> {
        let path = self.dir.join("lab.json");
        let text = serde_json::to_vec_pretty(&self.remembered)
            .map_err(|source| LabError::State { path: path.clone(), source })?;
        let fresh = self.dir.join("lab.json.new");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(LabError::io(format!("write {}", path.display())))
    }

    /// Runs a command in `place` to its end, on the caller's terminal.
    ///
    /// # Errors
    /// [`LabError::MissingProgram`] or [`LabError::Io`] when it could not be started.
    pub fn exec(&self, place: &Place, command: &mut Command) -> Result<ExitStatus, LabError> {
        namespace::within(&self.namespace(place), || {
            command.status().map_err(|e| namespace::not_started(command, e))
        })
    }

    /// Runs a command in `place` to its end and returns what it printed.
    ///
    /// # Errors
    /// Those of [`namespace::run`].
    pub fn run(&self, place: &Place, command: &mut Command) -> Result<String, LabError> {
        let name = self.namespace(place);
        namespace::within(&name, || namespace::run(command, "", &name))
    }

    /// Starts a command in `place` that outlives this call; its output is appended to `log`.
    /// Returns its process id.
    ///
    /// # Errors
    /// [`LabError::MissingProgram`] or [`LabError::Io`] when it could not be started.
    pub fn spawn(&self, place: &Place, command: &mut Command, log: &Path) -> Result<u32, LabError> {
        use std::os::unix::process::CommandExt as _;
        let open = || File::options().create(true).append(true).open(log);
        let attempt = || LabError::io(format!("open the log {}", log.display()));
        let (out, err) = (open().map_err(attempt())?, open().map_err(attempt())?);
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        // What an interrupt has killed looks like what a fault has killed: it must not be started again.
        interrupt::give_way();
        let mut child = namespace::within(&self.namespace(place), || {
            command.spawn().map_err(|e| namespace::not_started(command, e))
        })?;
        if interrupt::is_under_way() {
            // The search for processes may be over. A child that has ended already is as good as killed.
            drop(child.kill());
        }
        let id = child.id();
        // A program that ends while we live must not stay a zombie.
        std::thread::spawn(move || child.wait());
        Ok(id)
    }

    /// Sends `signal` to every process of `node`; returns how many there were.
    ///
    /// # Errors
    /// [`LabError::NoSuchNode`], and those of [`processes::signal_all`].
    pub fn signal(&self, node: &str, signal: Signal) -> Result<usize, LabError> {
        let place = Place::Node(self.topology().node(node)?.name.clone());
        processes::signal_all(&self.namespace(&place), signal)
    }

    /// What the processes of `node` use whose command line satisfies `wanted`.
    ///
    /// # Errors
    /// Those of [`processes::usage`].
    pub fn usage(
        &self,
        node: &str,
        wanted: fn(&str) -> bool,
    ) -> Result<processes::Usage, LabError> {
        processes::usage(&self.namespace(&Place::Node(node.to_owned())), wanted)
    }

    /// Does `fault` to the lab. A pause with a time returns at once; it ends by itself.
    ///
    /// # Errors
    /// [`LabError::NoSuchNode`], and those of the commands behind it.
    pub fn inject(&mut self, fault: &Fault) -> Result<(), LabError> {
        match fault {
            Fault::Kill(node) => self.signal(node, Signal::KILL).map(drop),
            Fault::Resume(node) => self.signal(node, Signal::CONT).map(drop),
            Fault::Pause(node) => self.signal(node, Signal::STOP).map(drop),
            Fault::Cut(node) | Fault::LinkDown(node) => {
                self.topology().node(node)?;
                self.change_network(|faults| faults.add(fault))
            }
            Fault::Partition(_) | Fault::Noise(_) => {
                self.change_network(|faults| faults.add(fault))
            }
        }
    }

    /// Takes back every fault of the network, and of the processes that are stopped. Killed
    /// programs are started again by whoever knows them.
    ///
    /// # Errors
    /// Those of the commands behind it.
    pub fn heal(&mut self) -> Result<(), LabError> {
        self.change_network(|faults| *faults = NetworkFaults::default())?;
        let names: Vec<_> = self.topology().nodes.iter().map(|n| n.name.clone()).collect();
        names.iter().try_for_each(|node| self.signal(node, Signal::CONT).map(drop))
    }

    /// Takes back what was done to `node` alone.
    ///
    /// # Errors
    /// [`LabError::NoSuchNode`], and those of the commands behind it.
    pub fn heal_node(&mut self, node: &str) -> Result<(), LabError> {
        self.signal(node, Signal::CONT)?;
        self.change_network(|faults| faults.heal_node(node))
    }

    /// Changes the faults of the network and brings the bridges into that state: the relay reads
    /// before frames are handed to it, and ends after the last one was.
    fn change_network(&mut self, change: impl FnOnce(&mut NetworkFaults)) -> Result<(), LabError> {
        let before = self.remembered.faults.clone();
        change(&mut self.remembered.faults);
        if before == self.remembered.faults {
            return Ok(());
        }
        self.save()?;
        let old = delayed_paths(self.topology(), &before);
        let new = delayed_paths(self.topology(), self.faults());
        if old == new {
            self.load_ruleset()?;
        } else {
            let keep = std::mem::take(&mut self.remembered.faults.noise);
            self.load_ruleset()?;
            self.remembered.faults.noise = keep;
            crate::relay::replace(self, &old, &new)?;
            self.load_ruleset()?;
        }
        self.set_ports(&before)
    }

    fn set_ports(&self, before: &NetworkFaults) -> Result<(), LabError> {
        let mut wanted = BTreeMap::new();
        for node in &self.topology().nodes {
            let down = self.faults().link_down.contains(&node.name);
            if down != before.link_down.contains(&node.name) {
                let state = if down { "down" } else { "up" };
                wanted.extend(Net::ALL.map(|net| (node.port(net), state)));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let lines: String =
            wanted.iter().map(|(port, state)| format!("link set dev {port} {state}\n")).collect();
        namespace::ip_batch(Some(&self.namespace(&Place::Bridges)), &lines).map(drop)
    }
}

/// Kernel settings of every namespace: addresses are usable at once, ports are quiet.
const SETTINGS: &[(&str, &str)] = &[
    ("net/ipv6/conf/default/accept_dad", "1"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Where some program of the host loaded br_netfilter, frames on a bridge take the way of routed packets, too.
    ("net/bridge/bridge-nf-call-arptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
];

fn address_line(interface: &str, address: std::net::IpAddr) -> String {
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("addr add {address}/{} dev {interface}{nodad}\n", prefix_length(address))
}

fn directories(name: &str, dir: Option<PathBuf>) -> (PathBuf, PathBuf) {
    dir.map_or_else(
        || (Path::new(RUN_ROOT).join(name), Path::new(STATE_ROOT).join(name)),
        |dir| (dir.clone(), dir.join("state")),
    )
}

fn sweep_namespaces(name: &str) -> Result<usize, LabError> {
    let names = namespace::with_prefix(&Topology::namespace_prefix(name));
    for namespace in &names {
        processes::kill_all(namespace)?;
    }
    for namespace in &names {
        namespace::ip_batch(None, &format!("netns del {namespace}\n"))?;
    }
    Ok(names.len())
}

fn remove_directory(path: &Path) -> Result<bool, LabError> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(LabError::io(format!("remove {}", path.display()))(e)),
    }
}
