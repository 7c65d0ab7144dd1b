//! The loop of the heartbeat thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{Heartbeat, Input, Message};
use haven_host::drive::{RealtimeError, boot_time, realtime_thread};
use haven_host::gate::{Gate, Upkeep};
use haven_host::socket::{Batch, LinkSpec, LinkState, Ready, UdpLink, Waker, wait};
use haven_hub::{Errand, Heart};
use haven_messaging::{Frames, Kind, Local, Names, Rejected, Rejections};
use haven_types::{LinkId, NodeId};

use super::gatekeeper::Gatekeeper;
use super::outbox::{self, Outbox};
use super::{Handle, News, NewsReceiver, Order, Report, StartBeatError};

/// SCHED_FIFO priority: above ordinary realtime work, below the kernel's own threads.
const PRIORITY: i32 = 50;
/// Leases are at least this long where realtime scheduling is refused.
const FLOOR_WITHOUT_REALTIME: Duration = Duration::from_millis(250);
/// Datagrams taken from one socket at a time.
const BATCH: usize = 32;
/// Answers to a beat come one by one; in a calm cluster they are collected for so long and taken in
/// with one wake-up.
const COLLECT: Duration = Duration::from_micros(500);
/// How often it is tried to tell the main thread what it had no room for.
const TELL_AGAIN: Duration = Duration::from_millis(5);
/// How often links that wait for their address are tried, and addresses that the kernel did not take.
const UPKEEP: Duration = Duration::from_secs(1);

/// What the thread starts with.
#[derive(Debug)]
pub struct Settings {
    /// The machine's configuration; its floor is raised where realtime scheduling is refused.
    pub machine: haven_heartbeat::Config,
    /// Inputs that the log at hand already gives, before the first frame.
    pub first: Vec<Input>,
    /// The frames' identity.
    pub local: Local,
    /// The keys in use.
    pub keys: haven_messaging::Keyring,
    /// The links and their sockets.
    pub links: BTreeMap<LinkId, LinkSpec>,
    /// The gate.
    pub gate: Gate,
    /// What keeps it in force.
    pub upkeep: Upkeep,
    /// Whether gates left by an earlier process stay open: only after a planned restart.
    pub keep_gates: bool,
}

/// Starts the thread.
///
/// # Errors
/// When the system refuses it a thread or a descriptor, or left-over gates cannot be closed.
pub fn spawn(settings: Settings) -> Result<(Handle, NewsReceiver), StartBeatError> {
    let (orders, inbox) = mpsc::channel();
    let (mut news, receiver) = outbox::channel();
    let waker = Waker::new()?;
    let handle = Handle { orders, waker: waker.handle() };
    let mut keeper = Gatekeeper::new(settings.gate);
    if !settings.keep_gates {
        keeper.close_all()?;
    }
    let links = settings.links.iter().map(|(id, spec)| (*id, UdpLink::new(spec.clone()))).collect();
    let alive = Arc::new(());
    super::upkeep::spawn(settings.upkeep, news.another(), Arc::downgrade(&alive))?;
    let frames = Frames::new(settings.local, settings.keys);
    let (machine, first) = (settings.machine, settings.first);
    std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        let unscheduled = raise(&mut news);
        let mut config = machine;
        if unscheduled.is_some() {
            config.floor = config.floor.max(FLOOR_WITHOUT_REALTIME);
        }
        let thread = Thread {
            heart: Heart::new(config, first, boot_time()),
            frames,
            rejections: Rejections::new(),
            links,
            link_trouble: BTreeMap::new(),
            addresses: BTreeMap::new(),
            names: Names::new(),
            keeper,
            entries_trouble: None,
            inbox,
            waker,
            news,
            sealed: Vec::new(),
            next_upkeep: boot_time() + UPKEEP,
            beaten: false,
            _alive: alive,
            unscheduled,
        };
        thread.run().say_the_rest();
    })?;
    Ok((handle, receiver))
}

/// Raises this thread above ordinary work as far as the kernel grants it, and tells each refusal. Returns that of
/// realtime scheduling.
fn raise(news: &mut Outbox) -> Option<String> {
    let mut unscheduled = None;
    for refusal in realtime_thread(PRIORITY) {
        let said = refusal.to_string();
        if matches!(refusal, RealtimeError::Schedule(_)) {
            // Each report says it, and so does status.
            unscheduled = Some(said.clone());
            news.tell(News::Line(said));
        } else {
            news.tell(News::Alarm(said));
        }
    }
    unscheduled
}

struct Thread {
    heart: Heart,
    frames: Frames,
    rejections: Rejections,
    links: BTreeMap<LinkId, UdpLink>,
    link_trouble: BTreeMap<LinkId, String>,
    addresses: BTreeMap<(NodeId, LinkId), SocketAddr>,
    names: Names,
    keeper: Gatekeeper,
    /// Why the kernel did not take the gate's addresses when it was asked last.
    entries_trouble: Option<String>,
    inbox: mpsc::Receiver<Order>,
    waker: Waker,
    news: Outbox,
    sealed: Vec<u8>,
    next_upkeep: Instant,
    /// A beat has left since the sockets were last looked at.
    beaten: bool,
    /// The gate's upkeep ends with this thread.
    _alive: Arc<()>,
    /// What was said where realtime scheduling was refused.
    unscheduled: Option<String>,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    End,
}

impl Thread {
    /// Gives back the way to the main thread, for what waits there still; everything else is closed by then.
    fn run(mut self) -> Outbox {
        let mut batch = Batch::new(BATCH, haven_messaging::frame::MAX_DATAGRAM);
        self.settle();
        loop {
            let Some(ready) = self.sleep() else { return self.news };
            if ready.at(0) && self.take_orders() == Go::End {
                return self.news;
            }
            self.receive_ready(ready, &mut batch);
            self.tick_if_due();
            self.news.flush();
            self.upkeep_if_due();
        }
    }

    fn take_orders(&mut self) -> Go {
        self.waker.drain();
        loop {
            match self.inbox.try_recv() {
                Ok(order) => {
                    if self.obey(order) == Go::End {
                        return Go::End;
                    }
                }
                Err(mpsc::TryRecvError::Empty) => return Go::On,
                // The daemon is gone: the leases run out, the gates close by themselves.
                Err(mpsc::TryRecvError::Disconnected) => return Go::End,
            }
        }
    }

    fn obey(&mut self, order: Order) -> Go {
        match order {
            Order::Machine(input) => {
                self.heart.obey(boot_time(), *input);
                self.settle();
            }
            Order::Peers { members, names, addresses } => {
                self.frames.set_members(boot_time(), &members);
                self.heart.set_members(&members);
                self.names = names;
                self.addresses = addresses;
            }
            Order::Transmit { to, link, bytes } => {
                self.send(to, link, Kind::Express, &bytes);
            }
            Order::Keys(ring) => self.frames.set_keys(ring),
            Order::Entries(entries) => {
                let trouble = self.keeper.set_entries(entries);
                self.note_entries(trouble);
            }
            Order::Report(answer) => {
                // An asker that went away needs no answer.
                let _answered = answer.send(self.report());
            }
            Order::HandOver(answer) => {
                self.hurry();
                if let Some(left) = self.heart.hand_over(boot_time()) {
                    let _answered = answer.send(left);
                }
                return Go::End;
            }
            Order::Stop(answer) => {
                self.hurry();
                let closed = self.keeper.close_all();
                let trouble = closed.err().map(|e| format!("gates stay open until their end: {e}"));
                let _answered = answer.send(trouble);
                return Go::End;
            }
        }
        Go::On
    }

    /// Tells what became of the gate's addresses, where that is something else than before.
    fn note_entries(&mut self, trouble: Option<String>) {
        if self.entries_trouble != trouble {
            self.entries_trouble.clone_from(&trouble);
            self.news.tell(News::Entries(trouble));
        }
    }

    /// Has the machine take in what waits, and carries out what follows.
    fn settle(&mut self) {
        loop {
            while let Some(errand) = self.heart.next_errand() {
                self.perform(errand);
            }
            let Some(input) = self.heart.next_input() else { return };
            self.heart.step(boot_time(), input);
        }
    }

    /// Closes the gates that wait for their servers' last answers.
    fn hurry(&mut self) {
        self.heart.hurry();
        self.settle();
    }

    fn perform(&mut self, errand: Errand) {
        match errand {
            Errand::Send { to, link, message } => {
                self.beaten |= matches!(message, Message::Beat(_));
                let bytes = message.encode();
                self.send(to, link, Kind::Beat, &bytes);
            }
            Errand::Gate(turn) => {
                let (done, trouble) = self.keeper.obey(turn);
                if let Some(trouble) = trouble {
                    self.news.tell(News::Line(trouble));
                }
                self.heart.acknowledge(turn, done);
            }
            Errand::RefuseNewcomers(group) => {
                if let Some(trouble) = self.keeper.refuse_newcomers(group) {
                    self.news.tell(News::Line(trouble));
                }
            }
            Errand::Tell(happening) => self.news.tell(News::Told(happening)),
        }
    }

    fn send(&mut self, to: NodeId, link: LinkId, kind: Kind, payload: &[u8]) {
        let Some(address) = self.addresses.get(&(to, link)) else { return };
        let Some(socket) = self.links.get_mut(&link) else { return };
        if let Err(error) = self.frames.seal(to, link, kind, payload, &mut self.sealed) {
            self.news.tell(News::Line(error.to_string()));
            return;
        }
        // A datagram that does not leave is a lost datagram: the machines above count on loss.
        let _sent = socket.send(*address, &self.sealed);
    }

    fn receive_ready(&mut self, ready: Ready, batch: &mut Batch) {
        // Links are fixed for the thread's life, so places do not move between two of them.
        for place in 0..self.links.len() {
            if ready.at(1 + place) {
                self.receive(place, batch);
            }
        }
    }

    fn receive(&mut self, place: usize, batch: &mut Batch) {
        let Self { links, frames, rejections, names, news, heart, .. } = self;
        let Some((&link, socket)) = links.iter_mut().nth(place) else { return };
        socket.receive(batch, |source, datagram| {
            let now = boot_time();
            match frames.open(now, datagram) {
                Ok(opened) => {
                    let heard = heart.hear(&opened, |happening| news.tell(News::Told(happening)));
                    if let Err(error) = heard {
                        let from = opened.from;
                        let name = names.get(&from).map_or("a stranger", String::as_str);
                        news.tell(News::Line(format!("{name} (node {from}): {error}")));
                    }
                }
                Err(rejected) => {
                    if let Some(line) = rejections.note(now, source, rejected) {
                        let line = line.naming(names);
                        news.tell(News::Line(format!("link {link}: {line}")));
                        if let Rejected::WrongKey { from, epoch } = rejected {
                            news.tell(News::Unreadable { from, epoch });
                        }
                    }
                }
            }
        });
        self.settle();
    }

    fn tick_if_due(&mut self) {
        let now = boot_time();
        if self.heart.deadline().is_some_and(|at| at <= now) {
            self.heart.tick(now);
            self.settle();
        }
    }

    fn upkeep_if_due(&mut self) {
        let now = boot_time();
        if now < self.next_upkeep {
            return;
        }
        self.next_upkeep = now + UPKEEP;
        self.news.tell_lost();
        if self.entries_trouble.is_some() {
            // Perhaps somebody had emptied the table, and the upkeep has made it again.
            let trouble = self.keeper.put_entries();
            self.note_entries(trouble);
        }
        for (id, link) in &mut self.links {
            link.retry();
            let trouble = match link.state() {
                LinkState::Bound => None,
                LinkState::Pending(pending) => Some(pending.to_string()),
            };
            let before = match &trouble {
                Some(text) => self.link_trouble.insert(*id, text.clone()),
                None => self.link_trouble.remove(id),
            };
            if before != trouble {
                let word = trouble.as_deref().unwrap_or("works again");
                self.news.tell(News::Line(format!("link {id}: {word}")));
            }
        }
    }

    /// Sleeps until something arrives or is due, and says what arrived: orders at place 0, datagrams at
    /// the places after, in the order of the links. None when sleeping itself fails.
    fn sleep(&mut self) -> Option<Ready> {
        let now = boot_time();
        let until = self.heart.deadline().map_or(self.next_upkeep, |at| at.min(self.next_upkeep));
        let until = if self.news.waits() { until.min(now + TELL_AGAIN) } else { until };
        let calm = self.heart.machine().is_some_and(Heartbeat::is_calm);
        let waker = std::iter::once(Some(self.waker.fd()));
        let slept = if std::mem::take(&mut self.beaten) && calm && until > now + COLLECT {
            // By then answers have come: looking costs less than asking which socket to look at.
            let looked = |ready: Ready| if ready.is_empty() { Ready::ALL_BUT_FIRST } else { ready };
            wait(waker, Some(COLLECT)).map(looked)
        } else {
            let links = self.links.values().map(UdpLink::fd);
            wait(waker.chain(links), Some(until.since(now)))
        };
        match slept {
            Ok(ready) => Some(ready),
            Err(error) => {
                self.news.tell(News::Alarm(format!("the heartbeat thread cannot wait: {error}")));
                None
            }
        }
    }

    fn report(&self) -> Report {
        Report {
            machine: self.heart.machine().map(|m| m.status(boot_time())).unwrap_or_default(),
            rejected: self.rejections.totals().collect(),
            links: self.links.keys().map(|id| (*id, self.link_trouble.get(id).cloned())).collect(),
            gate_writes: (self.keeper.writes, self.keeper.failures),
            unscheduled: self.unscheduled.clone(),
        }
    }
}

#[cfg(test)]
#[path = "thread_tests.rs"]
mod tests;
