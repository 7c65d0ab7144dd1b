//! A measurement: capture at every node's client port and the client's own experience, for one
//! VIP, joined into a report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::bed::Bed;
use crate::client::{Stop, connect_often, converse, probe, wall_nanos};
use crate::error::LabError;
use crate::judge::{Ownership, judge};
use crate::namespace;
use crate::outage::{
    Connect, ConnectFigures, LongConnection, Probe, ProbeFigures, connect_figures, probe_figures,
};
use crate::sighting::{Sighting, classify};
use crate::topology::{Net, Place, SERVICE_PORT};
use haven_host::capture::{PacketSocket, realtime};

/// How a measurement is made.
#[derive(Clone, Copy, Debug)]
pub struct MeasureOptions {
    /// Time between two UDP probes.
    pub probe_interval: Duration,
    /// Time between two new TCP connections; `None` opens none, and no long connection either.
    pub connect_interval: Option<Duration>,
}

impl Default for MeasureOptions {
    fn default() -> Self {
        Self {
            probe_interval: Duration::from_millis(1),
            connect_interval: Some(Duration::from_millis(5)),
        }
    }
}

/// Everything that was observed, before it is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Frames that claim or use the VIP, per node's port, unsorted.
    pub sightings: Vec<Sighting>,
    /// Frames the capture lost for want of room; a judgement over such a gap proves nothing.
    pub capture_lost: u64,
    /// UDP probes in the order they were sent.
    pub probes: Vec<Probe>,
    /// New TCP connections.
    pub connects: Vec<Connect>,
    /// The long TCP connection.
    pub long: LongConnection,
    /// When the measurement began, nanoseconds of the wall clock.
    pub from_nanos: u64,
    /// When it ended.
    pub to_nanos: u64,
}

/// The figures of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The address measured.
    pub vip: IpAddr,
    /// UDP probes: the outage.
    pub probes: ProbeFigures,
    /// New TCP connections.
    pub connects: ConnectFigures,
    /// The long TCP connection.
    pub long: LongConnection,
    /// Who owned the address when, and whether two did.
    pub ownership: Ownership,
    /// Frames the capture lost; above 0 the judgement is not complete.
    pub capture_lost: u64,
    /// When the measurement began, nanoseconds of the wall clock.
    pub from_nanos: u64,
    /// When it ended.
    pub to_nanos: u64,
    /// Names of the nodes by index.
    pub nodes: BTreeMap<u8, String>,
}

/// A capture under way of the frames that claim or use a VIP, at every node's client port.
#[derive(Debug)]
pub struct Capturing {
    stop: Stop,
    captured: JoinHandle<Result<(Vec<Sighting>, u64), LabError>>,
}

impl Capturing {
    /// Begins to capture what is said for `vip`.
    ///
    /// # Errors
    /// [`LabError::Io`] when a packet socket cannot be had.
    pub fn start(bed: &Bed, vip: IpAddr) -> Result<Self, LabError> {
        let topology = bed.topology();
        let bridges = topology.namespace(&Place::Bridges);
        let ports: Vec<_> = topology.nodes.iter().map(|n| (n.index, n.port(Net::Client))).collect();
        let sockets = namespace::within(&bridges, || {
            let open = |(index, port): &(u8, String)| Ok((*index, PacketSocket::capture(port)?));
            ports.iter().map(open).collect::<Result<Vec<_>, LabError>>()
        })?;
        let stop = Stop::default();
        let captured = std::thread::spawn({
            let stop = stop.clone();
            move || capture(&sockets, vip, &stop)
        });
        Ok(Self { stop, captured })
    }

    /// Ends the capture: the frames seen, and how many were lost for want of room.
    ///
    /// # Errors
    /// Those of the capturing thread.
    pub fn finish(self) -> Result<(Vec<Sighting>, u64), LabError> {
        self.stop.stop();
        joined(self.captured)
    }
}

/// A measurement under way.
#[derive(Debug)]
pub struct Measuring {
    vip: IpAddr,
    nodes: BTreeMap<u8, String>,
    from_nanos: u64,
    stop: Stop,
    capturing: Capturing,
    probed: JoinHandle<Result<Vec<Probe>, LabError>>,
    connected: Option<JoinHandle<Result<Vec<Connect>, LabError>>>,
    conversed: Option<JoinHandle<Result<LongConnection, LabError>>>,
}

impl Measuring {
    /// Begins to measure `vip`.
    ///
    /// # Errors
    /// [`LabError::Io`] when a packet socket cannot be had.
    pub fn start(bed: &Bed, vip: IpAddr, options: MeasureOptions) -> Result<Self, LabError> {
        raise_file_limit();
        let topology = bed.topology();
        let client = topology.namespace(&Place::Client);
        let stop = Stop::default();
        let target = SocketAddr::new(vip, SERVICE_PORT);
        let inside = |client: &str| namespace::enter(client);
        let from_nanos = wall_nanos();
        let capturing = Capturing::start(bed, vip)?;
        let probed = std::thread::spawn({
            let (stop, client) = (stop.clone(), client.clone());
            move || inside(&client).and_then(|()| probe(target, options.probe_interval, &stop))
        });
        let connected = options.connect_interval.map(|interval| {
            let (stop, client) = (stop.clone(), client.clone());
            std::thread::spawn(move || {
                inside(&client).and_then(|()| connect_often(target, interval, &stop))
            })
        });
        let conversed = options.connect_interval.map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || inside(&client).map(|()| converse(target, &stop)))
        });
        let nodes = topology.nodes.iter().map(|n| (n.index, n.name.clone())).collect();
        Ok(Self { vip, nodes, from_nanos, stop, capturing, probed, connected, conversed })
    }

    /// Ends the measurement and judges what was recorded.
    ///
    /// # Errors
    /// Those of the measuring threads.
    pub fn finish(self) -> Result<Report, LabError> {
        let (vip, nodes) = (self.vip, self.nodes.clone());
        Ok(self.record()?.report(vip, nodes))
    }

    /// Ends the measurement and hands over what was recorded.
    ///
    /// # Errors
    /// Those of the measuring threads.
    pub fn record(self) -> Result<Recording, LabError> {
        self.stop.stop();
        let to_nanos = wall_nanos();
        let probes = joined(self.probed)?;
        let connects = self.connected.map_or(Ok(Vec::new()), joined)?;
        let long = self.conversed.map(joined).transpose()?.unwrap_or_default();
        let (sightings, capture_lost) = self.capturing.finish()?;
        let from_nanos = self.from_nanos;
        Ok(Recording { sightings, capture_lost, probes, connects, long, from_nanos, to_nanos })
    }
}

fn joined<T>(thread: JoinHandle<Result<T, LabError>>) -> Result<T, LabError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A connection to a VIP that nobody answers keeps its socket for seconds, and many are tried.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it a long outage counts connections as refused; nothing else changes.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn capture(
    sockets: &[(u8, PacketSocket)],
    vip: IpAddr,
    stop: &Stop,
) -> Result<(Vec<Sighting>, u64), LabError> {
    realtime();
    let mut sightings = Vec::new();
    let mut buffer = vec![0; 256];
    let patience = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !stop.asked() {
        let mut wanted: Vec<_> =
            sockets.iter().map(|(_, s)| PollFd::new(s, PollFlags::IN)).collect();
        // An interrupted wait is a short one.
        let _ = poll(&mut wanted, Some(&patience));
        for (node, socket) in sockets {
            // A port that is down reports so once; it is up again when the fault is healed.
            while let Ok(Some(frame)) = socket.receive(&mut buffer) {
                let bytes = &buffer[..frame.length.min(buffer.len())];
                if let Some(kind) = classify(bytes, vip) {
                    sightings.push(Sighting { at_nanos: frame.at_nanos, node: *node, kind });
                }
            }
        }
    }
    let lost = sockets.iter().map(|(_, socket)| socket.take_dropped()).sum();
    Ok((sightings, lost))
}

impl Recording {
    /// Judges the recording (pure).
    #[must_use]
    pub fn report(&self, vip: IpAddr, nodes: BTreeMap<u8, String>) -> Report {
        Report {
            vip,
            probes: probe_figures(&self.probes, self.from_nanos, self.to_nanos),
            connects: connect_figures(&self.connects),
            long: self.long,
            ownership: judge(&self.sightings),
            capture_lost: self.capture_lost,
            from_nanos: self.from_nanos,
            to_nanos: self.to_nanos,
            nodes,
        }
    }
}

/// Milliseconds with one decimal.
#[must_use]
pub fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

impl Report {
    /// Name of the node with this index.
    #[must_use]
    pub fn node(&self, index: Option<u8>) -> &str {
        index.and_then(|i| self.nodes.get(&i)).map_or("nobody", String::as_str)
    }

    /// The report as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<18} {value}");
        };
        let (probes, connects) = (&self.probes, &self.connects);
        let since = |nanos: u64| ms(Duration::from_nanos(nanos.saturating_sub(self.from_nanos)));
        line("address", self.vip.to_string());
        let comeback =
            if probes.recovered || probes.outage.is_zero() { "" } else { ", not recovered" };
        line("outage", format!("{}{comeback}", ms(probes.outage)));
        let (before, after) = (self.node(probes.owner_before), self.node(probes.owner_after));
        line("owner", format!("{before} before, {after} after the longest gap"));
        let moves = (probes.moves, self.ownership.moves());
        line("moves", format!("{} by those who answered, {} by those who sent", moves.0, moves.1));
        line("probes", format!("{} sent, {} answered", probes.sent, probes.answered));
        if let Some((first, last)) = probes.lost_nanos {
            line("lost", format!("first at {}, last at {}", since(first), since(last)));
        }
        let two = self.ownership.two_owners;
        line("two owners", if two.is_zero() { "0 ms".to_owned() } else { ms(two) });
        for overlap in self.ownership.overlaps.iter().take(5) {
            let (stale, owner) = (self.node(Some(overlap.stale)), self.node(Some(overlap.owner)));
            let (from, until) = (since(overlap.from_nanos), since(overlap.until_nanos));
            line("", format!("{stale} still at {until}, {owner} from {from}"));
        }
        if connects.tried > 0 {
            line(
                "new connections",
                format!(
                    "{} tried, {} delayed, {} refused, {} lost; slowest {}",
                    connects.tried,
                    connects.delayed,
                    connects.refused,
                    connects.lost,
                    ms(connects.slowest)
                ),
            );
            line(
                "long connection",
                format!(
                    "longest gap {}, broken {} times",
                    ms(self.long.longest_gap),
                    self.long.broken
                ),
            );
        }
        for finding in self.findings() {
            line("bad", finding);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::Use;

    #[test]
    fn a_recording_with_two_owners_is_reported_so() {
        let sighting =
            |ms: u64, node| Sighting { at_nanos: ms * 1_000_000, node, kind: Use::Source };
        let recording = Recording {
            sightings: vec![sighting(0, 1), sighting(10, 2), sighting(40, 1), sighting(50, 2)],
            from_nanos: 0,
            to_nanos: 60_000_000,
            ..Recording::default()
        };
        let nodes = BTreeMap::from([(1, "n1".to_owned()), (2, "n2".to_owned())]);
        let report = recording.report(IpAddr::from([10, 77, 1, 100]), nodes);
        assert_eq!(report.ownership.two_owners, Duration::from_millis(40));
        let table = report.table();
        assert!(table.contains("n1 still at 40.0 ms, n2 from 10.0 ms"), "{table}");
        assert!(table.contains("0 by those who answered, 3 by those who sent"), "{table}");
    }
}
