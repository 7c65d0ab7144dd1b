//! Addresses that move: the shell over the takeover core.
//!
//! [`IpAgent`] is the `ip` resource agent, used inside the daemon as calls. It holds addresses on
//! interfaces, announces them, watches for other claims and puts them back when somebody changes them.
//!
//! Order, the caller's part included: lease gained → gate opened → [`IpAgent::start`] → … →
//! [`IpAgent::stop`] → gate closed → lease released. The agent never decides who owns an address.

mod agent;
mod clock;
mod lease;
mod task;

pub use agent::{AgentClosed, AgentConfig, CleanupError, IpAgent};
pub use haven_ipfail_proto::{
    Confirmation, Edition, Event, IpParams, OcfCode, Outcome, PROTOCOL_TAG, ParamError,
    ParamErrors, Reason, Steps, VipState, VipStatus, metadata, parse,
};
pub use lease::ProvenByLease;
pub use task::OpenError;
