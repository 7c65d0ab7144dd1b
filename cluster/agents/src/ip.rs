//! `ocf:haven:ip`: addresses that move.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_base::IfIndex;
use haven_cib::crm::{AgentFacts, ParamFacts};
use haven_executor::{
    Agent, AgentFuture, Carried, CarriedFuture, HeldLease, Hook, HookFuture, Serves, Standing,
};
use haven_ipfail::{IpAgent, IpParams, ProvenByLease};
use haven_ipfail_proto::params::table::{PARAMETERS, Parameter};
use haven_ipfail_proto::{Confirmation, Reason, VipState, VipStatus};
use haven_types::operation::{AgentName, ExecutionStatus, OcfCode, Operation, Outcome};

/// OCF 1.1: it runs, and something is wrong with it.
const DEGRADED: i32 = 190;

/// The `ip` agent of this node.
#[derive(Clone, Debug)]
pub struct IpResource {
    agent: IpAgent,
}

impl IpResource {
    /// Puts an open agent behind the trait.
    #[must_use]
    pub const fn new(agent: IpAgent) -> Self {
        Self { agent }
    }
}

impl Agent for IpResource {
    fn serves(&self) -> Serves {
        Serves::Name(AgentName {
            standard: "ocf".to_owned(),
            provider: Some("haven".to_owned()),
            name: "ip".to_owned(),
        })
    }

    fn leased_by_default(&self) -> bool {
        true
    }

    fn run(&self, operation: Operation, lease: Option<HeldLease>) -> AgentFuture {
        let agent = self.agent.clone();
        Box::pin(async move {
            match haven_ipfail::parse(&operation.params) {
                Ok(parsed) => perform(&agent, &operation, &parsed.params, lease).await,
                Err(errors) => {
                    Outcome::done(OcfCode::BAD_CONFIGURATION, one_line(&errors.to_string()))
                }
            }
        })
    }

    fn notify(&self, _operation: Operation, hook: Hook) -> HookFuture {
        let agent = self.agent.clone();
        Box::pin(async move {
            match hook {
                Hook::LeaseExtended(held) => {
                    agent.extend_lifetime(&group_name(held), held.until).await;
                }
                Hook::PeerReturned => agent.peer_returned().await,
            }
        })
    }

    fn guarded(&self, params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        haven_ipfail::parse(params).map(|parsed| parsed.params.ips).unwrap_or_default()
    }

    fn carried(&self) -> CarriedFuture {
        let agent = self.agent.clone();
        Box::pin(async move { agent.status().await.into_iter().map(carried).collect() })
    }

    fn ungated(&self, devices: &BTreeMap<IfIndex, String>) {
        self.agent.ungated(devices.clone());
    }

    fn clean_up(&self, keep: Vec<Operation>) -> HookFuture {
        let agent = self.agent.clone();
        let kept: Vec<IpAddr> =
            keep.iter().flat_map(|operation| self.guarded(&operation.params)).collect();
        Box::pin(async move {
            match agent.cleanup(&kept).await {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => {
                    tracing::warn!(?removed, "removed addresses that an earlier run left behind");
                }
                Err(error) => tracing::error!("{error}"),
            }
        })
    }
}

fn carried(vip: VipStatus) -> Carried {
    Carried {
        resource: vip.resource,
        address: vip.ip,
        device: vip.dev,
        standing: match vip.state {
            VipState::Pending => Standing::Waiting,
            VipState::Checking => Standing::Checking,
            VipState::Up => Standing::Up,
            VipState::Missing => Standing::Missing,
            VipState::Lost => Standing::Lost,
        },
        announced: vip.announced,
        confirmed: match vip.confirmed {
            Confirmation::NotAsked | Confirmation::Waiting => None,
            Confirmation::Verified => Some(true),
            Confirmation::Unverified => Some(false),
        },
        conflicts: vip.conflicts,
        claimant: vip.last_conflict.map(|mac| mac.to_string()),
        contested: vip.contested,
    }
}

/// What the agent's metadata says, for judging a configuration.
#[must_use]
pub fn ip_facts() -> AgentFacts {
    let parameter =
        |row: &Parameter| ParamFacts { required: row.required, unique: row.unique, alias_of: None };
    let alias = |row: &Parameter| {
        let alias_of = Some(row.name.to_owned());
        Some((row.alias?.to_owned(), ParamFacts { alias_of, ..ParamFacts::default() }))
    };
    let named = PARAMETERS.iter().map(|row| (row.name.to_owned(), parameter(row)));
    let params = named.chain(PARAMETERS.iter().filter_map(alias)).collect();
    AgentFacts { lease: true, params, judge: Some(judge) }
}

/// What is wrong with the values, with the parameter concerned.
fn judge(params: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let Err(errors) = haven_ipfail::parse(params) else { return Vec::new() };
    errors
        .0
        .iter()
        .map(|error| {
            let text = error.to_string();
            let concerned = params.keys().find(|name| text.contains(name.as_str()));
            (concerned.cloned().unwrap_or_default(), text)
        })
        .collect()
}

async fn perform(
    agent: &IpAgent,
    operation: &Operation,
    params: &IpParams,
    lease: Option<HeldLease>,
) -> Outcome {
    let resource = &operation.resource;
    let outcome = match operation.action.as_str() {
        "start" => agent.start(resource, params, lease.map(proof)).await,
        "stop" => agent.stop(resource, params).await,
        "monitor" => agent.monitor(resource, params).await,
        "validate-all" => agent.validate(params).await,
        other => {
            let reason = format!("ocf:haven:ip knows start, stop, monitor, not {other}");
            return Outcome::done(OcfCode::UNIMPLEMENTED, reason);
        }
    };
    let status = ExecutionStatus::Done;
    // It runs, and serves nobody or nothing ends it with its lease: where nothing fails, nothing else would say so.
    let degraded = operation.action == "monitor"
        && matches!(outcome.reason, Some(Reason::Pending | Reason::Ungated))
        && outcome.is_success();
    let code = OcfCode(if degraded { DEGRADED } else { outcome.code as i32 });
    Outcome { status, code, reason: one_line(&outcome.text) }
}

fn proof(held: HeldLease) -> ProvenByLease {
    ProvenByLease::new(group_name(held), held.lease.epoch.0, held.until)
}

fn group_name(held: HeldLease) -> String {
    held.lease.group.to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
