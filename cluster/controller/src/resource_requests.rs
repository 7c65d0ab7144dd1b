//! Requests about resources that need more than a line of the configuration: restarting, forgetting
//! failures, tracing.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_api::{ApiError, Code, FailureRow, ReplyBody};
use haven_cib::{Cib, CloneChild, NvPair, NvSet, Primitive, Resource};
use haven_types::NodeId;
use haven_types::operation::{AgentName, Operation, Order, OrderId};
use haven_types::status::Status;

use crate::controller::Controller;
use crate::failures;
use crate::goals::Goal;
use crate::history::{Slot, active};
use crate::port::Clock;
use crate::request::ReplyTo;
use crate::waiting::Change;

/// Stands for the parameters of what is to be started anew.
const TO_BE_RESTARTED: &str = "to be restarted";
/// What debugging shells of OCF agents look for.
const TRACE: &str = "trace_ra";

/// Resources to be started anew, by node: those whose last operation is the numbered one or an older
/// one.
pub(crate) type Restarts = BTreeMap<(NodeId, String), u64>;

impl Controller {
    /// Starts a resource anew where it runs. Nothing of it is written down: should the coordinator
    /// change meanwhile, nothing is left behind that keeps the resource stopped.
    pub(crate) fn restart_resource(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        resource: String,
        node: Option<String>,
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        self.known_resource(&resource)?;
        let only = node.as_deref().map(|node| self.known_node(node)).transpose()?;
        let parts = self.parts_of(&resource);
        let running: Restarts = self
            .histories
            .iter()
            .filter(|(id, _)| only.is_none_or(|only| only == **id))
            .flat_map(|(id, history)| {
                let found = history
                    .resources
                    .iter()
                    .filter(|(name, records)| parts.contains(name) && active(records));
                found.map(|(name, records)| {
                    let last = records.get(&Slot::Last).map_or(0, |record| record.call);
                    ((*id, name.clone()), last)
                })
            })
            .collect();
        if running.is_empty() {
            let place = node.map_or_else(|| "anywhere".to_owned(), |node| format!("on {node}"));
            let message = format!("cannot restart {resource}: it does not run {place}");
            return Err(ApiError::new(Code::Failed, message)
                .remedy(format!("haven resource start {resource}")));
        }
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.restarts.extend(running);
        }
        self.replan();
        let change = Change::action(format!("{resource} is being restarted"), wait, timeout_ms);
        self.await_settled(clock, to, change.towards(Goal::Runs(resource)))
    }

    /// Names that the history knows a resource and its parts by.
    fn parts_of(&self, resource: &str) -> Vec<String> {
        match self.state.cib.resource(resource) {
            Some(found) => found.primitives().iter().map(|part| part.id.clone()).collect(),
            None => vec![resource.to_owned()],
        }
    }

    /// Marks what is to be started anew as started with other parameters.
    pub(crate) fn mark_restarts(&self, status: &mut Status) {
        let Some(coordinator) = &self.coordinator else { return };
        for ((node, resource), call) in &coordinator.restarts {
            let name = self.name_of(*node);
            let known = status.node_mut(&name).into_iter().flat_map(|node| &mut node.resources);
            for history in known.filter(|history| history.id == *resource) {
                let old = history.operations.iter_mut().filter(|operation| {
                    operation.interval_ms == 0
                        && u64::try_from(operation.call_id).is_ok_and(|id| id <= *call)
                });
                for operation in old {
                    operation.op_digest = Some(TO_BE_RESTARTED.to_owned());
                    // Without these no agent is asked to reload instead.
                    operation.op_restart_digest = None;
                    operation.op_force_restart = None;
                }
            }
        }
    }

    /// Forgets restarts that are done, or that nothing is left of.
    pub(crate) fn settle_restarts(&mut self) {
        let Some(coordinator) = &mut self.coordinator else { return };
        let histories = &self.histories;
        coordinator.restarts.retain(|(node, resource), call| {
            let records = histories.get(node).and_then(|history| history.resources.get(resource));
            records.is_some_and(|records| {
                active(records) && records.get(&Slot::Last).is_some_and(|last| last.call <= *call)
            })
        });
    }

    /// Failures are kept where they happened: every node is told to forget its own. With `refresh` it
    /// forgets all it knows of what does not run under a lease, and is asked anew.
    pub(crate) fn forget(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        resource: Option<String>,
        node: Option<String>,
        refresh: bool,
    ) -> Result<(), ApiError> {
        if let Some(resource) = &resource {
            self.known_resource(resource)?;
        }
        let nodes: Vec<NodeId> = match &node {
            Some(name) => vec![self.known_node(name)?],
            None => self.histories.keys().copied().filter(|id| self.heard(*id)).collect(),
        };
        let parts = resource.as_deref().map_or_else(|| vec![String::new()], |r| self.parts_of(r));
        let action = if refresh { "refresh" } else { "cleanup" };
        for node in nodes {
            for part in &parts {
                self.order_own(clock, node, action, part.clone(), BTreeMap::new());
            }
        }
        let of = resource.unwrap_or_else(|| "all resources".to_owned());
        let of = node.map_or_else(|| of.clone(), |node| format!("{of} on {node}"));
        let text = match refresh {
            false => format!("failures of {of} are forgotten"),
            true => format!("{of}: asked anew what runs"),
        };
        self.await_settled(clock, to, Change::action(text, true, None))
    }

    /// Orders something about a node's own status, which no agent has a part in.
    pub(crate) fn order_own(
        &mut self,
        clock: Clock,
        node: NodeId,
        action: &str,
        resource: String,
        params: BTreeMap<String, String>,
    ) {
        let Some(coordinator) = &mut self.coordinator else { return };
        let id = OrderId { term: coordinator.term, number: coordinator.next_order };
        coordinator.next_order += 1;
        coordinator.errands.insert(id, node);
        let operation = Operation {
            resource,
            agent: AgentName { standard: String::new(), provider: None, name: String::new() },
            action: action.to_owned(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            params,
            meta: BTreeMap::new(),
        };
        let order = Order { id, operation, lease: None, cancel: false };
        self.give(clock, None, node, order);
    }

    /// Failures that are counted, by resource and node.
    pub(crate) fn failure_rows(
        &self,
        resource: Option<&str>,
        node: Option<&str>,
    ) -> Result<ReplyBody, ApiError> {
        if let Some(resource) = resource {
            self.known_resource(resource)?;
        }
        let only = node.map(|node| self.known_node(node)).transpose()?;
        let parts = resource.map(|resource| self.parts_of(resource));
        let mut rows: Vec<FailureRow> = Vec::new();
        for (id, history) in self.histories.iter().filter(|(id, _)| only.is_none_or(|o| o == **id))
        {
            for counted in failures::all(&history.attributes) {
                if parts.as_ref().is_some_and(|parts| !parts.contains(&counted.resource)) {
                    continue;
                }
                let failure = history
                    .resources
                    .get(&counted.resource)
                    .and_then(|slots| slots.get(&Slot::LastFailure))
                    .filter(|record| record.operation.action == counted.operation)
                    .and_then(|record| record.outcome.as_ref());
                rows.push(FailureRow {
                    node: self.name_of(*id),
                    rc: failure.map(|outcome| outcome.code.0),
                    reason: failure.map(|outcome| outcome.reason.clone()).unwrap_or_default(),
                    ..counted
                });
            }
        }
        rows.sort_by(|a, b| {
            (&a.resource, &a.node, &a.operation).cmp(&(&b.resource, &b.node, &b.operation))
        });
        Ok(ReplyBody::Failures(rows))
    }

    /// Has the agent of a resource note down each command of an operation, or no more.
    pub(crate) fn trace(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        resource: String,
        operation: &str,
        on: bool,
    ) -> Result<(), ApiError> {
        self.known_resource(&resource)?;
        let mut found = self.state.cib.clone();
        let Some(primitive) = primitive_mut(&mut found, &resource) else {
            let message = format!("cannot trace {resource}: it is not a primitive");
            return Err(ApiError::new(Code::Failed, message).remedy(format!(
                "name one of its parts: {}",
                self.parts_of(&resource).join(", ")
            )));
        };
        let text = if on {
            trace_on(primitive, operation);
            format!(
                "{resource} {operation} is traced: one file for each call below \
                 /var/lib/heartbeat/trace_ra on the node where it runs; `haven resource untrace \
                 {resource}` ends it"
            )
        } else {
            trace_off(primitive);
            format!("{resource} is not traced")
        };
        self.commit(clock, to, author, found, Change::action(text, false, None))
    }
}

fn primitive_mut<'a>(cib: &'a mut Cib, id: &str) -> Option<&'a mut Primitive> {
    let named = |primitive: &&mut Primitive| primitive.id == id;
    cib.resources.iter_mut().find_map(|resource| match resource {
        Resource::Primitive(primitive) => Some(primitive).filter(named),
        Resource::Group(group) => group.members.iter_mut().find(named),
        Resource::Clone(clone) => match &mut *clone.child {
            CloneChild::Primitive(primitive) => Some(primitive).filter(named),
            CloneChild::Group(group) => group.members.iter_mut().find(named),
        },
        Resource::Bundle(bundle) => bundle.primitive.as_mut().filter(named),
    })
}

fn trace_on(primitive: &mut Primitive, operation: &str) {
    if !primitive.operations.iter().any(|op| op.name == operation) {
        primitive.operations.push(haven_cib::Operation {
            id: format!("{}-{operation}-0", primitive.id),
            name: operation.to_owned(),
            interval: Some("0".to_owned()),
            ..haven_cib::Operation::default()
        });
    }
    for op in primitive.operations.iter_mut().filter(|op| op.name == operation) {
        let pair = NvPair {
            id: Some(format!("{}-{TRACE}", op.id)),
            name: TRACE.to_owned(),
            value: Some("1".to_owned()),
        };
        match op.params.iter_mut().find(|set| set.rule.is_none()) {
            Some(set) if set.pairs.iter().any(|known| known.name == TRACE) => {}
            Some(set) => set.pairs.push(pair),
            None => op.params.push(NvSet {
                id: format!("{}-instance_attributes", op.id),
                pairs: vec![pair],
                ..NvSet::default()
            }),
        }
    }
}

fn trace_off(primitive: &mut Primitive) {
    for op in &mut primitive.operations {
        for set in &mut op.params {
            set.pairs.retain(|pair| pair.name != TRACE);
        }
        op.params.retain(|set| !set.pairs.is_empty());
    }
    let made = |op: &haven_cib::Operation| {
        op.id == format!("{}-{}-0", primitive.id, op.name)
            && op.params.is_empty()
            && op.options.is_empty()
            && op.meta.is_empty()
    };
    let kept = primitive.operations.iter().filter(|op| !made(op)).cloned().collect();
    primitive.operations = kept;
}
