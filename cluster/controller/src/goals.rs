//! What a change was asked for, and whether the cluster got there: the words that whoever waits is
//! answered with.

use haven_api::{ApiError, Code};
use haven_types::NodeId;

use crate::controller::Controller;

/// What whoever waits wants to see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// That the change is committed, and carried out as far as it can be.
    Settled,
    /// A resource that runs somewhere.
    Runs(String),
    /// A resource that runs nowhere.
    Stopped(String),
    /// A resource that runs on a node.
    RunsOn(String, String),
    /// A resource that does not run on a node.
    RunsNotOn(String, String),
    /// A node that runs nothing.
    Empty(NodeId),
}

impl Controller {
    /// What became of a change whose text is `what`, once the cluster has settled.
    pub(crate) fn reached(&self, goal: &Goal, what: &str) -> Result<String, ApiError> {
        match goal {
            Goal::Settled => Ok(what.to_owned()),
            Goal::Runs(resource) => self.runs(resource),
            Goal::Stopped(resource) => self.stopped(resource),
            Goal::RunsOn(resource, node) => self.runs_on(resource, node),
            Goal::RunsNotOn(resource, node) => self.runs_not_on(resource, node),
            Goal::Empty(node) => self.empty(*node, what),
        }
    }

    fn runs(&self, resource: &str) -> Result<String, ApiError> {
        let nodes = self.active_on(resource);
        if nodes.is_empty() {
            return Err(failed(format!("{resource} runs nowhere: {}", self.reason_of(resource)))
                .remedy(format!("haven explain {resource}")));
        }
        Ok(format!("{resource} runs on {}", nodes.join(", ")))
    }

    fn stopped(&self, resource: &str) -> Result<String, ApiError> {
        let nodes = self.active_on(resource);
        if nodes.is_empty() {
            return Ok(format!("{resource} is stopped"));
        }
        let message = format!("{resource} still runs on {}", nodes.join(", "));
        Err(failed(message).remedy(self.unmoved(resource)))
    }

    fn runs_on(&self, resource: &str, node: &str) -> Result<String, ApiError> {
        let nodes = self.active_on(resource);
        if nodes.iter().any(|active| active == node) {
            return Ok(format!(
                "{resource} runs on {node} and prefers it; `haven resource clear {resource}` ends \
                 the preference"
            ));
        }
        let found = match nodes.is_empty() {
            true => format!("runs nowhere: {}", self.reason_of(resource)),
            false => format!("runs on {}", nodes.join(", ")),
        };
        Err(failed(format!("{resource} prefers {node} now, but {found}"))
            .remedy(format!("haven explain {resource} --node {node}")))
    }

    fn runs_not_on(&self, resource: &str, node: &str) -> Result<String, ApiError> {
        let nodes = self.active_on(resource);
        if nodes.iter().any(|active| active == node) {
            let message = format!("{resource} avoids {node} now, but still runs there");
            return Err(failed(message).remedy(self.unmoved(resource)));
        }
        let found = match nodes.is_empty() {
            true => "runs nowhere".to_owned(),
            false => format!("runs on {}", nodes.join(", ")),
        };
        Ok(format!(
            "{resource} avoids {node} and {found}; `haven resource clear {resource}` ends the ban"
        ))
    }

    fn empty(&self, node: NodeId, what: &str) -> Result<String, ApiError> {
        let left = self.resources_on(node);
        if left.is_empty() {
            return Ok(format!("{what} and runs nothing"));
        }
        let message = format!("{what}, but {} still run there", left.join(", "));
        Err(failed(message).remedy(
            "unmanaged resources and those in maintenance stay; a failed stop is in `haven status`",
        ))
    }

    /// Why a resource does not run, of its first part that has a reason.
    fn reason_of(&self, resource: &str) -> String {
        let parts = match self.state.cib.resource(resource) {
            Some(found) => found.primitives(),
            None => self
                .state
                .cib
                .resources
                .iter()
                .flat_map(haven_cib::Resource::primitives)
                .filter(|part| part.id == resource)
                .collect(),
        };
        let stopped = parts.into_iter().find(|part| self.active_on(&part.id).is_empty());
        stopped.map_or_else(|| "no node may run it".to_owned(), |part| self.why_stopped(part))
    }

    /// What to do about a resource that stays where it is.
    fn unmoved(&self, resource: &str) -> String {
        format!(
            "see `haven status` for a failed stop, maintenance or is-managed=false; then `haven \
             resource failures {resource}` and `haven resource cleanup {resource}`"
        )
    }
}

fn failed(message: String) -> ApiError {
    ApiError::new(Code::Failed, message)
}
