//! The heartbeat thread: an OS thread that owns the links' sockets, the frames' keys, the heartbeat
//! machine and the kernel's gate, and shares nothing with anybody. It never waits for a disk or a
//! lock: orders come by a channel and an event descriptor, reports leave by a bounded channel; those it has no
//! room for wait in this thread, of what describes a state the newest only. A second thread, in no hurry, keeps the
//! gate in force on devices that come and change.

mod gatekeeper;
mod outbox;
mod thread;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc;

use haven_heartbeat as heartbeat;
use haven_host::gate::{Entry, GateError, Missing};
use haven_host::socket::WakeHandle;
use haven_hub::Happening;
use haven_messaging::{Keyring, Names};
use haven_types::{LinkId, NodeId};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

pub use thread::{Settings, spawn};

/// What the rest of the daemon tells the thread.
#[derive(Debug)]
pub enum Order {
    /// For the heartbeat machine.
    Machine(Box<heartbeat::Input>),
    /// Who the other members are and where their links end.
    Peers {
        /// Their ids.
        members: BTreeSet<NodeId>,
        /// Their names.
        names: Names,
        /// Where a datagram for a member's link goes.
        addresses: BTreeMap<(NodeId, LinkId), SocketAddr>,
    },
    /// Send an express packet.
    Transmit {
        /// To whom.
        to: NodeId,
        /// By which link.
        link: LinkId,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// The keys to use from now on.
    Keys(Keyring),
    /// All addresses under the gate. While one of a lease group is not, as the kernel did not take it, that group is not
    /// opened; it is tried again every second.
    Entries(Vec<Entry>),
    /// What the thread knows, for people.
    Report(oneshot::Sender<Report>),
    /// End for a planned restart, leaving the gate as it is.
    HandOver(oneshot::Sender<heartbeat::HandOver>),
    /// End for good: close every gate first. The answer says what stood in the way, for nobody listens to news any
    /// more.
    Stop(oneshot::Sender<Option<String>>),
}

/// What the thread tells the rest of the daemon.
#[derive(Debug)]
pub enum News {
    /// For the main thread's machine.
    Told(Happening),
    /// What the gate lacks from now on.
    GateMissing(Vec<Missing>),
    /// A frame under this name is sealed with a key that is not held here. Told as seldom as its line.
    Unreadable {
        /// The name on it.
        from: NodeId,
        /// The key's epoch.
        epoch: u32,
    },
    /// Something an operator should read.
    Line(String),
    /// Something that stays wrong until somebody acts.
    Alarm(String),
    /// Something that was wrong and is mended by now.
    Mended(String),
    /// Why the kernel does not take the gate's addresses; none once it does.
    Entries(Option<String>),
}

/// What the thread knows, for people.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The machine's own status.
    pub machine: heartbeat::Status,
    /// Datagrams refused, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What stands in the way of each link, none for a working one.
    pub links: BTreeMap<LinkId, Option<String>>,
    /// Gate writes since the start, and those that failed.
    pub gate_writes: (u64, u64),
    /// Why the thread runs without realtime scheduling, with the remedy; none where it has it.
    pub unscheduled: Option<String>,
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
    waker: WakeHandle,
}

impl Handle {
    /// Gives an order. Lost only when the thread has ended, and with it the daemon.
    pub fn send(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            self.waker.wake();
        }
    }

    /// What the thread knows; nothing when it has ended.
    pub async fn report(&self) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.send(Order::Report(answer));
        report.await.ok()
    }
}

/// Why the thread could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartBeatError {
    /// The gate cannot be put in force; without it nothing may own an address.
    #[error("the gate cannot be put in force: {0}")]
    Gate(#[from] GateError),
    /// The operating system refused a thread or a descriptor.
    #[error("cannot start the heartbeat thread: {0}")]
    System(#[from] std::io::Error),
}

/// Reports of the thread.
pub type NewsReceiver = tokio_mpsc::Receiver<News>;
