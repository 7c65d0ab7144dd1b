//! The task that owns all held addresses of this node: it carries inputs to the [`Holder`] and its
//! outputs to the kernel, and holds no opinion.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haven_base::{AddressChange, IfIndex, Instant, Route};
use haven_host::netlink::{Netlink, NetlinkError, NetlinkEvent, NetlinkEvents, SocketDestroyer};
use haven_host::packet::{Heard, Listener, PacketError, Sender};
use haven_ipfail_proto::holder::{Config, Holder, Input, Output, Purpose, Refusal, RequestId};
use haven_ipfail_proto::{Event, IpParams};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::agent::{AgentConfig, Answer, Call, Request};
use crate::clock;

/// The agent cannot run on this host.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// rtnetlink or socket diagnosis.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Packet sockets.
    #[error(transparent)]
    Packet(#[from] PacketError),
}

pub(crate) struct Task {
    holder: Holder,
    netlink: Netlink,
    changes: NetlinkEvents,
    sender: Sender,
    arp: Listener,
    discovery: Listener,
    destroyer: Arc<Mutex<SocketDestroyer>>,
    inbox: mpsc::Receiver<Call>,
    events: broadcast::Sender<Event>,
    ungated: watch::Receiver<BTreeMap<IfIndex, String>>,
    waiting: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    last_id: RequestId,
}

/// Something to do next.
enum Next {
    Changes(Result<Vec<NetlinkEvent>, NetlinkError>),
    Frames(Result<Vec<Heard>, PacketError>),
    Ungated,
    Call(Option<Call>),
    Deadline,
}

impl Task {
    pub(crate) fn open(
        config: &AgentConfig,
        inbox: mpsc::Receiver<Call>,
        events: broadcast::Sender<Event>,
        ungated: watch::Receiver<BTreeMap<IfIndex, String>>,
    ) -> Result<Self, OpenError> {
        // Subscribed before the first reading, so that nothing falls between.
        let changes = NetlinkEvents::open()?;
        let mut task = Self {
            holder: Holder::new(Config { garp_rate: config.garp_rate, seed: config.seed }),
            netlink: Netlink::open()?,
            changes,
            sender: Sender::open()?,
            arp: Listener::arp()?,
            discovery: Listener::neighbour_discovery()?,
            destroyer: Arc::new(Mutex::new(SocketDestroyer::open()?)),
            inbox,
            events,
            ungated,
            waiting: BTreeMap::new(),
            last_id: 0,
        };
        let snapshot = task.snapshot()?;
        task.feed(snapshot);
        Ok(task)
    }

    pub(crate) async fn run(mut self) {
        loop {
            match self.next().await {
                Next::Changes(Ok(changes)) => self.on_changes(changes),
                Next::Changes(Err(error)) => {
                    self.trouble(&error.whole()).await;
                    self.resync();
                }
                Next::Frames(Ok(frames)) => self.on_frames(frames),
                Next::Frames(Err(error)) => self.trouble(&whole(&error)).await,
                Next::Ungated => self.on_ungated(),
                Next::Call(Some(call)) => {
                    self.catch_up();
                    self.on_call(call);
                }
                Next::Call(None) => return,
                Next::Deadline => self.feed(Input::Tick),
            }
        }
    }

    async fn next(&mut self) -> Next {
        let deadline = self.holder.deadline();
        tokio::select! {
            biased;
            changes = self.changes.next() => Next::Changes(changes),
            frames = self.arp.next() => Next::Frames(frames),
            frames = self.discovery.next() => Next::Frames(frames),
            Ok(()) = self.ungated.changed() => Next::Ungated,
            call = self.inbox.recv() => Next::Call(call),
            () = clock::reached(deadline) => Next::Deadline,
        }
    }

    /// A socket that fails is told, and not asked again at once.
    async fn trouble(&mut self, what: &str) {
        const PAUSE: Duration = Duration::from_millis(100);
        self.publish(Event::KernelRefused { what: what.to_owned() });
        tokio::time::sleep(PAUSE).await;
    }

    fn on_changes(&mut self, changes: Vec<NetlinkEvent>) {
        for change in changes {
            match change {
                NetlinkEvent::Link(link) => self.feed(Input::Link(link)),
                NetlinkEvent::Moved(index) => self.feed(Input::Moved(index)),
                NetlinkEvent::LinkGone(index) => self.feed(Input::LinkGone(index)),
                NetlinkEvent::Address(address) => self.feed(Input::Address(address)),
                NetlinkEvent::AddressGone(address) => self.feed(Input::AddressGone(address)),
                NetlinkEvent::Overrun => self.resync(),
            }
        }
    }

    fn on_frames(&mut self, frames: Vec<Heard>) {
        for Heard { index, frame } in frames {
            self.feed(Input::Frame { index, bytes: frame });
        }
    }

    /// Take in what the kernel and the wire have said up to now: a request is judged on the newest view,
    /// and a frame sent before an address was ours is not taken for a claim against us. A failing socket
    /// is found by the loop.
    fn catch_up(&mut self) {
        if let Ok(changes) = self.changes.take_queued() {
            self.on_changes(changes);
        }
        for frames in [self.arp.take_queued(), self.discovery.take_queued()].into_iter().flatten() {
            self.on_frames(frames);
        }
        if self.ungated.has_changed().is_ok_and(|changed| changed) {
            self.on_ungated();
        }
    }

    fn on_ungated(&mut self) {
        let devices = self.ungated.borrow_and_update().clone();
        self.feed(Input::Ungated { devices });
    }

    fn on_call(&mut self, call: Call) {
        let Call { request, answer } = call;
        self.last_id += 1;
        let id = self.last_id;
        let input = match request {
            Request::Start { resource, params, lease } => {
                let routes = self.routes_for(&params);
                let lease = lease.map(|lease| lease.0);
                Input::Start { id, resource, params, lease, routes }
            }
            Request::Stop { resource, params } => Input::Stop { id, resource, params },
            Request::Monitor { resource, params } => {
                let routes = self.routes_for(&params);
                Input::Monitor { id, resource, params, routes }
            }
            Request::Validate { params } => {
                let routes = self.routes_for(&params);
                Input::Validate { id, params, routes }
            }
            Request::Cleanup { keep } => {
                self.resync();
                Input::Cleanup { id, keep }
            }
            Request::Extend { group, end } => {
                self.feed(Input::LeaseEnd { group, end });
                return reply(answer, Answer::Done);
            }
            Request::PeerReturned => {
                self.feed(Input::PeerReturned);
                return reply(answer, Answer::Done);
            }
            Request::Announce { ip } => {
                self.feed(Input::Announce { ip });
                return reply(answer, Answer::Done);
            }
            Request::Status => {
                return reply(answer, Answer::Status(self.holder.status(clock::now())));
            }
        };
        self.waiting.insert(id, answer);
        self.feed(input);
    }

    /// The routes a placement needs: none when interface and prefix length are given.
    fn routes_for(&mut self, params: &IpParams) -> Vec<Route> {
        if params.nic.is_some() && params.prefix_len.is_some() {
            return Vec::new();
        }
        let mut routes = Vec::new();
        for like in
            [params.ips.iter().find(|ip| ip.is_ipv4()), params.ips.iter().find(|ip| ip.is_ipv6())]
        {
            match like.map(|ip| self.netlink.routes(*ip)) {
                Some(Ok(found)) => routes.extend(found),
                Some(Err(error)) => self.publish(Event::KernelRefused { what: error.whole() }),
                None => {}
            }
        }
        routes
    }

    fn snapshot(&mut self) -> Result<Input, NetlinkError> {
        let links = self.netlink.links()?;
        let addresses = self.netlink.addresses()?;
        Ok(Input::Snapshot { links, addresses })
    }

    fn resync(&mut self) {
        match self.snapshot() {
            Ok(snapshot) => self.feed(snapshot),
            Err(error) => self.publish(Event::KernelRefused { what: error.whole() }),
        }
    }

    /// Step the holder and carry out what it wants, the results of that included.
    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.holder.step(clock::now(), input) {
                inputs.extend(self.perform(output));
            }
        }
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Change { changes, before, purpose } => {
                return Some(self.change(changes, before, purpose));
            }
            Output::Send { index, frame, before } => self.send(index, &frame, before),
            Output::LookAround { ips, index } => return Some(self.look_around(ips, index)),
            Output::FindTransmits { resource, index } => {
                return self.find_transmits(resource, index);
            }
            Output::Resync => match self.snapshot() {
                Ok(snapshot) => return Some(snapshot),
                Err(error) => self.publish(Event::KernelRefused { what: error.whole() }),
            },
            Output::EndConnections { ips } => self.end_connections(ips),
            Output::Reply { id, outcome } => {
                if !outcome.is_success() {
                    tracing::debug!(%outcome, "ip agent");
                }
                self.answer(id, Answer::Outcome(outcome));
            }
            Output::Cleaned { id, result } => self.answer(id, Answer::Cleaned(result)),
            Output::Event(event) => self.publish(event),
        }
        None
    }

    fn change(
        &mut self,
        changes: Vec<AddressChange>,
        before: Option<Instant>,
        purpose: Purpose,
    ) -> Input {
        // The lease is looked at immediately before the kernel is asked.
        let late = before.is_some_and(|end| clock::now() >= end);
        let refusals = if late {
            let text = "the lease ended before the address could be added".to_owned();
            changes.iter().map(|_| Some(Refusal { errno: 0, text: text.clone() })).collect()
        } else {
            let refusal = |error: NetlinkError| Refusal {
                errno: error.errno().unwrap_or(-1),
                text: error.whole(),
            };
            self.netlink.change(&changes).into_iter().map(|r| r.err().map(refusal)).collect()
        };
        Input::Changed { purpose, changes, refusals }
    }

    fn send(&mut self, index: IfIndex, frame: &[u8], before: Option<Instant>) {
        if before.is_some_and(|end| clock::now() >= end) {
            return;
        }
        if let Err(error) = self.sender.send(index, frame) {
            // A link that went down this instant announces again when it comes up; a closed gate is no
            // trouble of ours.
            tracing::debug!(error = %whole(&error), "frame not sent");
        }
    }

    fn look_around(&mut self, ips: Vec<IpAddr>, index: IfIndex) -> Input {
        let Some(like) = ips.first().copied() else {
            return Input::Around { ips, gateways: Vec::new(), neighbours: Vec::new() };
        };
        // Whom to ask is a nicety: where the kernel does not tell, fewer are asked.
        let gateway = self.netlink.default_gateway(index, like).unwrap_or_default();
        let neighbours = self.netlink.neighbours(index, like).unwrap_or_default();
        Input::Around { ips, gateways: gateway.into_iter().collect(), neighbours }
    }

    /// Where the kernel does not tell, the holder has its own idea.
    fn find_transmits(&mut self, resource: String, index: IfIndex) -> Option<Input> {
        match self.netlink.dad_transmits(index) {
            Ok(count) => count.map(|count| Input::Transmits { resource, count }),
            Err(error) => {
                self.publish(Event::KernelRefused { what: error.whole() });
                None
            }
        }
    }

    fn end_connections(&self, ips: Vec<IpAddr>) {
        let destroyer = Arc::clone(&self.destroyer);
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || destroy(&destroyer, &ips, &events));
    }

    fn answer(&mut self, id: RequestId, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&id) {
            reply(waiting, answer);
        }
    }

    fn publish(&self, event: Event) {
        if event.is_warning() {
            tracing::warn!("{event}");
        } else {
            tracing::info!("{event}");
        }
        // No subscriber is no trouble.
        self.events.send(event).ok();
    }
}

impl Drop for Task {
    /// The process may end before connections are due: those of addresses that left go now.
    fn drop(&mut self) {
        let ips = self.holder.connections_left();
        if !ips.is_empty() {
            destroy(&self.destroyer, &ips, &self.events);
        }
    }
}

fn destroy(destroyer: &Mutex<SocketDestroyer>, ips: &[IpAddr], events: &broadcast::Sender<Event>) {
    match destroyer.lock().unwrap_or_else(PoisonError::into_inner).destroy(ips) {
        Ok(0) => {}
        Ok(count) => tracing::debug!(count, ?ips, "TCP connections ended"),
        Err(error) => {
            // No subscriber is no trouble.
            events.send(Event::KernelRefused { what: error.whole() }).ok();
        }
    }
}

/// A caller that no longer waits is no trouble.
fn reply(waiting: oneshot::Sender<Answer>, answer: Answer) {
    waiting.send(answer).ok();
}

fn whole(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
