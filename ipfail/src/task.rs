//! The task that owns all held addresses of this node.

use haven_ipfail_proto::Event;
use tokio::sync::{broadcast, mpsc};

use crate::agent::{AgentConfig, Call};

/// The agent cannot run on this host.
#[derive(Debug, thiserror::Error)]
#[error("open the ip agent's sockets: {what}")]
pub struct OpenError {
    what: String,
}

pub(crate) struct Task {
    inbox: mpsc::Receiver<Call>,
    _events: broadcast::Sender<Event>,
}

impl Task {
    pub(crate) fn open(
        _config: &AgentConfig,
        inbox: mpsc::Receiver<Call>,
        events: broadcast::Sender<Event>,
    ) -> Result<Self, OpenError> {
        Ok(Self { inbox, _events: events })
    }

    pub(crate) async fn run(mut self) {
        while self.inbox.recv().await.is_some() {}
    }
}
