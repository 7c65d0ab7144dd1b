//! Agents of others in a configuration about to be judged: which ones, and what this node knows of them.
//!
//! The shell asks the agents before it hands a request on, for agents are programs and this is none that waits. A
//! node that is not the coordinator judges by its own agents before it forwards, since those of the coordinator's
//! host may be others.

use std::collections::{BTreeMap, BTreeSet};

use haven_api::{ApiError, Code, Finding, Format, Load, RequestBody};
use haven_cib::{Cib, Resource, crm};
use haven_types::agent::AgentReport;
use haven_types::operation::AgentName;

use crate::configure::{Manner, finding};
use crate::controller::Controller;
use crate::documents;

/// Agents that are remembered; more begin anew.
const MOST: usize = 1_000;

impl Controller {
    /// The agents of others whose descriptions a request will be judged by.
    #[must_use]
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is not judged by agents")]
    pub fn agents_of(&self, body: &RequestBody) -> BTreeSet<AgentName> {
        let found = match body {
            RequestBody::ConfigureVerify { text: None, .. }
            | RequestBody::ConfigureChange { .. }
            | RequestBody::ConfigureUndo { .. } => in_cib(&self.state.cib),
            RequestBody::ConfigureLoad(Load { text, format, .. })
            | RequestBody::ConfigureVerify { text: Some(text), format, .. } => match format {
                Format::Crm => crm::agents_in(text),
                Format::Xml => {
                    Cib::from_xml_lenient(text).map(|(cib, ..)| in_cib(&cib)).unwrap_or_default()
                }
                Format::Json => match documents::from_json(text, false) {
                    Ok((cib, _)) => in_cib(&cib),
                    // Whether it will be read as it was meant or leniently is another's affair.
                    Err(unread) => {
                        let lenient = documents::from_json(text, true).ok().map(|(cib, _)| cib);
                        let read = unread.rest.map(|cib| *cib).into_iter().chain(lenient);
                        read.flat_map(|cib| in_cib(&cib)).collect()
                    }
                },
            },
            _ => Vec::new(),
        };
        let foreign = found.into_iter().map(|(standard, provider, name)| AgentName {
            standard,
            provider,
            name,
        });
        foreign
            .filter(|agent| !self.config.verification.agents.contains_key(&agent.to_string()))
            .collect()
    }

    /// Takes what agents said of themselves.
    pub(crate) fn on_agents(&mut self, told: BTreeMap<String, AgentReport>) {
        if self.foreign.len() + told.len() > MOST {
            self.foreign.clear();
        }
        self.foreign.extend(told);
    }

    /// Refuses on this node what its agents do not take, before another one judges by its own. What they merely say
    /// against it is for whoever asked.
    pub(crate) fn judge_before_forwarding(
        &self,
        body: &RequestBody,
    ) -> Result<Vec<Finding>, ApiError> {
        let RequestBody::ConfigureLoad(load) = body else { return Ok(Vec::new()) };
        // What cannot be read is refused by the coordinator, whose configuration counts.
        let Ok((loaded, _)) = self.read(&load.text, Manner::of(load)) else {
            return Ok(Vec::new());
        };
        let mut found = crm::verify_foreign(&loaded.cib, &self.facts());
        let accepted = load.force || !self.worsens(&found);
        loaded.locate(&mut found);
        let findings = found.into_iter().map(finding).collect();
        if accepted {
            return Ok(findings);
        }
        let message = "the configuration is refused; nothing was changed";
        Err(ApiError::new(Code::Configuration, message).findings(self.judged_text(&loaded)))
    }

    /// Whether agents of others have an error to tell that is not there already: an agent that lost a parameter keeps
    /// nobody from changing something else.
    pub(crate) fn worsens(&self, found: &[crm::Finding]) -> bool {
        let errors: Vec<_> = found.iter().filter(|f| is_foreign(f) && f.is_error()).collect();
        if errors.is_empty() {
            return false;
        }
        let known = crm::verify_foreign(&self.state.cib, &self.facts());
        let same =
            |a: &crm::Finding, b: &crm::Finding| a.object == b.object && a.message == b.message;
        errors.iter().any(|error| !known.iter().any(|known| same(known, error)))
    }
}

/// A finding by the description of an agent of others.
pub(crate) fn is_foreign(finding: &crm::Finding) -> bool {
    finding.overridable && matches!(finding.code.as_str(), "HV0302" | "HV0303" | "HV0322")
}

fn in_cib(cib: &Cib) -> Vec<(String, Option<String>, String)> {
    let primitives = cib.resources.iter().flat_map(Resource::primitives);
    let all = primitives.chain(&cib.templates);
    all.filter_map(|p| Some((p.class.clone()?, p.provider.clone(), p.kind.clone()?))).collect()
}
