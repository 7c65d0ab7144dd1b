//! What happened, as a number that two runs of one seed must share, and as lines for people.

use std::fmt::Debug;

use haven_base::Instant;
use haven_types::NodeId;

/// The record of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Changes with everything that happens, in order.
    pub(crate) hash: u64,
    /// Kept only where somebody will read them.
    pub(crate) lines: Option<Vec<String>>,
}

impl Trace {
    /// A record that keeps lines, too.
    pub(crate) fn kept() -> Self {
        Self { lines: Some(Vec::new()), ..Self::default() }
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn note(
        &mut self,
        now: u64,
        node: NodeId,
        what: &str,
        detail: impl FnOnce() -> String,
    ) {
        self.mix(now ^ u64::from(node.0) << 48);
        for byte in what.bytes() {
            self.mix(u64::from(byte));
        }
        if let Some(lines) = &mut self.lines {
            let at = Instant::from_nanos(now);
            lines.push(format!("{at:?} n{node} {what} {}", detail()));
        }
    }

    /// A step of a heartbeat machine.
    pub(crate) fn beat(
        &mut self,
        now: u64,
        node: NodeId,
        input: &haven_heartbeat::Input,
        outputs: &[haven_heartbeat::Output],
    ) {
        use haven_heartbeat::{Input, Message, Output};
        self.mix(now ^ u64::from(node.0) << 48 ^ (outputs.len() as u64) << 56);
        if let Some(lines) = &mut self.lines {
            let at = Instant::from_nanos(now);
            if let Input::Received { from, message: Message::Answer(answer), .. } = input
                && !answer.refusals.is_empty()
            {
                lines.push(format!("{at:?} n{node} beat < {from} refuses {:?}", answer.refusals));
            }
            if !matches!(input, Input::Received { .. } | Input::Heard { .. } | Input::Tick) {
                lines.push(format!("{at:?} n{node} beat < {input:?}"));
            }
            for output in outputs.iter().filter(|o| !matches!(o, Output::Send { .. })) {
                lines.push(format!("{at:?} n{node} beat > {output:?}"));
            }
        }
    }

    /// A step of a controller.
    pub(crate) fn main(
        &mut self,
        now: u64,
        node: NodeId,
        input: &haven_controller::Input,
        outputs: &[haven_controller::Output],
    ) {
        use haven_controller::{Input, Local, Output, PeerMessage};
        self.mix(now ^ u64::from(node.0) << 48 ^ (outputs.len() as u64) << 52);
        for output in outputs {
            if let Output::Send { to, bytes, .. } = output {
                self.mix(u64::from(to.0) << 32 ^ bytes.len() as u64);
                self.mix(bytes.iter().fold(0, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte)));
            }
        }
        let Some(lines) = &mut self.lines else { return };
        let at = Instant::from_nanos(now);
        let mut say = |way: &str, what: &dyn Debug| {
            let mut text = format!("{what:?}");
            text.truncate(300);
            lines.push(format!("{at:?} n{node} main {way} {text}"));
        };
        match input {
            Input::Tick | Input::Local(Local::Persisted(_)) => {}
            Input::Peer { from, bytes, .. } => match PeerMessage::decode(bytes) {
                Some(PeerMessage::Consensus(_)) => {}
                other => say("<", &(from, brief(other))),
            },
            Input::Local(Local::Request { .. }) => {}
            Input::Local(local) => say("<", local),
            other => say("<", other),
        }
        for output in outputs {
            match output {
                Output::Send { to, bytes, .. } => match PeerMessage::decode(bytes) {
                    Some(PeerMessage::Consensus(_)) => {}
                    other => say(">", &(to, brief(other))),
                },
                Output::Persist { batch, .. } if !batch.entries.is_empty() => {
                    let positions = batch.entries.iter().map(|entry| entry.position);
                    say("> persist", &positions.collect::<Vec<_>>());
                }
                Output::RunAgent { run, operation, lease } => {
                    say("> run", &(run, operation.key(), lease));
                }
                Output::Heartbeat(_)
                | Output::Members(_)
                | Output::Event(_)
                | Output::Persist { .. }
                | Output::Reply { .. } => {}
                other => say(">", other),
            }
        }
    }
}

/// A message on one short line.
fn brief(message: Option<haven_controller::PeerMessage>) -> String {
    use haven_controller::PeerMessage as M;
    let record = |record: &haven_types::operation::OperationRecord| {
        let outcome = record.outcome.as_ref().map(|outcome| (outcome.status, outcome.code.0));
        format!("{} {outcome:?} {:?}", record.operation.key(), record.lease)
    };
    match message {
        Some(M::Order { order, .. }) => format!(
            "Order {}.{} {} {:?} cancel {}",
            order.id.term,
            order.id.number,
            order.operation.key(),
            order.lease,
            order.cancel
        ),
        Some(M::Status(history)) => format!(
            "Status boot {} version {} {:?} {:?}",
            history.boot,
            history.version,
            history
                .resources
                .values()
                .flat_map(|slots| slots.values())
                .map(record)
                .collect::<Vec<_>>(),
            history.attributes
        ),
        Some(M::StatusDelta(delta)) => format!(
            "StatusDelta boot {} version {} {:?} forgets {:?} {:?}",
            delta.boot,
            delta.version,
            delta.records.iter().map(record).collect::<Vec<_>>(),
            delta.forgotten,
            delta.attributes
        ),
        other => format!("{other:?}"),
    }
}
