//! The handle the cluster calls.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_base::{IfIndex, Instant};
use haven_ipfail_proto::{Event, IpParams, OcfCode, Outcome, Reason, VipStatus};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::lease::ProvenByLease;
use crate::task::{OpenError, Task};

/// Requests that may wait for the agent's task.
const REQUESTS_MAX: usize = 1024;
/// Events a slow subscriber may lag behind before it loses the oldest.
const EVENTS_MAX: usize = 4096;

/// Settings of the agent, the same for all resources of a node.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Announcements per second and interface.
    pub garp_rate: u32,
    /// Seed of the jitter of refreshes.
    pub seed: u64,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self { garp_rate: 1000, seed: 0 }
    }
}

/// The agent's task has ended; only a new [`IpAgent`] helps.
#[derive(Debug, thiserror::Error)]
#[error("the ip agent's task has ended: restart the node")]
pub struct AgentClosed;

/// Why startup cleanup did not finish.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The task has ended.
    #[error(transparent)]
    Closed(#[from] AgentClosed),
    /// The kernel kept an address.
    #[error(
        "addresses that an earlier run left could not be removed: {0}; look with `ip addr show` for proto 0x68, and \
         remove those that no resource has here"
    )]
    Kernel(String),
}

/// What the handle asks of the task.
#[derive(Debug)]
pub(crate) enum Request {
    Start { resource: String, params: Box<IpParams>, lease: Option<ProvenByLease> },
    Stop { resource: String, params: Box<IpParams> },
    Monitor { resource: String, params: Box<IpParams> },
    Validate { params: Box<IpParams> },
    Cleanup { keep: Vec<IpAddr> },
    Extend { group: String, end: Instant },
    PeerReturned,
    Announce { ip: IpAddr },
    Status,
}

/// What the task answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Outcome(Outcome),
    Cleaned(Result<Vec<IpAddr>, String>),
    Status(Vec<VipStatus>),
    Done,
}

/// A request with the way back.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The `ip` resource agent of one node: a handle, cheap to clone.
///
/// All resources are held by one task, which ends when the last handle is dropped. **Dropping stops
/// nothing**: addresses stay on their interfaces (a planned restart relies on it) and under a lease the
/// kernel deletes them when their lifetime ends. Actions on one resource must not overlap.
#[derive(Clone, Debug)]
pub struct IpAgent {
    calls: mpsc::Sender<Call>,
    events: broadcast::Sender<Event>,
    ungated: watch::Sender<BTreeMap<IfIndex, String>>,
}

impl IpAgent {
    /// Open the agent's sockets in the network namespace of the calling thread and start its task on
    /// the current tokio runtime.
    ///
    /// # Errors
    /// When a socket cannot be opened: `CAP_NET_ADMIN` and `CAP_NET_RAW` are needed.
    pub fn open(config: AgentConfig) -> Result<Self, OpenError> {
        let (calls, inbox) = mpsc::channel(REQUESTS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (ungated, without) = watch::channel(BTreeMap::new());
        let task = Task::open(&config, inbox, events.clone(), without)?;
        tokio::spawn(task.run());
        Ok(Self { calls, events, ungated })
    }

    /// What happens from now on. A subscriber that lags more than 4096 events behind loses the oldest
    /// and is told how many.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Put the addresses of `resource` on their interface and announce them.
    ///
    /// The caller has opened the gate. Returns when the first announcement of each address has left (a
    /// burst goes on in the background unless `arp_bg=false`). Repeating it on a running resource
    /// refreshes the address and announces again. `lease` is none under `lease=off` or under another
    /// cluster engine; then IPv6 addresses go through duplicate address detection, which takes a second
    /// or two.
    ///
    /// A missing interface is success with [`Reason::Pending`] unless `require-dev=yes`. Under a lease an
    /// interface without the gate ([`IpAgent::ungated`]) is a failure with [`Reason::Ungated`].
    pub async fn start(
        &self,
        resource: &str,
        params: &IpParams,
        lease: Option<ProvenByLease>,
    ) -> Outcome {
        let params = Box::new(params.clone());
        self.outcome(Request::Start { resource: resource.to_owned(), params, lease }).await
    }

    /// Stop announcing and remove the addresses. Success when they or the interface are not there.
    ///
    /// The address is gone from the kernel when this returns; TCP sockets of this host that use it are
    /// destroyed 50 ms later unless it is here again, and at the latest when the agent ends.
    pub async fn stop(&self, resource: &str, params: &IpParams) -> Outcome {
        let params = Box::new(params.clone());
        self.outcome(Request::Stop { resource: resource.to_owned(), params }).await
    }

    /// Say whether the resource runs here: `Success`, `NotRunning`, or a failure with its [`Reason`].
    /// Works for resources this process never started (a probe).
    pub async fn monitor(&self, resource: &str, params: &IpParams) -> Outcome {
        let params = Box::new(params.clone());
        self.outcome(Request::Monitor { resource: resource.to_owned(), params }).await
    }

    /// Check the parameters against this host: whether an interface can be chosen, exists and fits.
    /// Changes nothing.
    pub async fn validate(&self, params: &IpParams) -> Outcome {
        self.outcome(Request::Validate { params: Box::new(params.clone()) }).await
    }

    /// Remove every address that carries our protocol tag and is neither in `keep` nor started by this
    /// agent; to be called before this node joins. Returns what was removed.
    ///
    /// # Errors
    /// When the kernel refused to remove one (the others are gone).
    pub async fn cleanup(&self, keep: &[IpAddr]) -> Result<Vec<IpAddr>, CleanupError> {
        match self.call(Request::Cleanup { keep: keep.to_vec() }).await? {
            Answer::Cleaned(result) => result.map_err(CleanupError::Kernel),
            Answer::Outcome(_) | Answer::Status(_) | Answer::Done => Err(AgentClosed.into()),
        }
    }

    /// These interfaces, and no others, are without the kernel's gate, each for this reason: no start that is asked
    /// for from now on puts a leased address there.
    pub fn ungated(&self, devices: BTreeMap<IfIndex, String>) {
        self.ungated.send_replace(devices);
    }

    /// The lease of `group` now ends at `end`. May be called on every renewal; the lifetime of the
    /// group's addresses, max(3 s, 3 × what is left), is rewritten at most once a second, except that a
    /// longer lease is written at once: when this returns the kernel knows it.
    pub async fn extend_lifetime(&self, group: &str, end: Instant) {
        // A closed task has no address to extend.
        self.call(Request::Extend { group: group.to_owned(), end }).await.ok();
    }

    /// A peer came back, or a partition healed: neighbours may have been told otherwise meanwhile, so
    /// announce everything again.
    pub async fn peer_returned(&self) {
        self.call(Request::PeerReturned).await.ok();
    }

    /// Announce one held address again.
    pub async fn announce(&self, ip: IpAddr) {
        self.call(Request::Announce { ip }).await.ok();
    }

    /// All held addresses, ordered by resource and address.
    pub async fn status(&self) -> Vec<VipStatus> {
        match self.call(Request::Status).await {
            Ok(Answer::Status(status)) => status,
            Ok(Answer::Outcome(_) | Answer::Cleaned(_) | Answer::Done) | Err(AgentClosed) => {
                Vec::new()
            }
        }
    }

    async fn outcome(&self, request: Request) -> Outcome {
        match self.call(request).await {
            Ok(Answer::Outcome(outcome)) => outcome,
            Ok(Answer::Cleaned(_) | Answer::Status(_) | Answer::Done) | Err(AgentClosed) => {
                Outcome::failed(OcfCode::ErrGeneric, Reason::Kernel, AgentClosed.to_string())
            }
        }
    }

    async fn call(&self, request: Request) -> Result<Answer, AgentClosed> {
        let (answer, reply) = oneshot::channel();
        self.calls.send(Call { request, answer }).await.map_err(|_| AgentClosed)?;
        reply.await.map_err(|_| AgentClosed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_stay_are_told_with_what_to_do() {
        let text = CleanupError::Kernel("remove 192.0.2.1/24: refused".to_owned()).to_string();
        for said in ["an earlier run", "192.0.2.1/24: refused", "`ip addr show`", "0x68"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
