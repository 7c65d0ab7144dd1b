//! Changes of single objects of the configuration by name.

use haven_api::{ApiError, Code, ObjectEdit, Version};
use haven_cib::crm::{self, Beside};
use haven_cib::{Cib, CloneChild, Resource};

use crate::configure::finding;
use crate::controller::Controller;
use crate::waiting::Change;

impl Controller {
    /// The configuration after a change of single objects; nothing is changed by this.
    pub(crate) fn amended(
        &self,
        change: &ObjectEdit,
        expected: Option<Version>,
        force: bool,
    ) -> Result<(Cib, Change), ApiError> {
        if let Some(expected) = expected.filter(|expected| *expected != self.api_version()) {
            return Err(self.unexpected_version(expected));
        }
        self.bear(change, force)?;
        let cib = self.made_by(change).map_err(|findings| {
            ApiError::new(
                Code::Configuration,
                format!("cannot {}; nothing was changed", in_words(change)),
            )
            .findings(findings.into_iter().map(finding).collect())
        })?;
        let findings = self.accepted(&cib, force, |_| ())?;
        let changed = crm::changes(&self.state.cib, &cib);
        let changed = changed.iter().map(|change| change.name().to_owned()).collect();
        Ok((cib, Change::configuration(in_words(change), changed, findings)))
    }

    fn made_by(&self, change: &ObjectEdit) -> Result<Cib, Vec<crm::Finding>> {
        let cib = &self.state.cib;
        match change {
            ObjectEdit::Delete { objects } => {
                let members: Vec<String> =
                    self.state.members.values().map(|member| member.name.clone()).collect();
                crm::delete(cib, objects, &members)
            }
            ObjectEdit::Rename { from, to } => crm::rename(cib, from, to),
            ObjectEdit::AddMember { group, member, before, after } => {
                let before = before.clone().map(Beside::Before);
                let beside = before.or_else(|| after.clone().map(Beside::After));
                crm::add_member(cib, group, member, beside.as_ref())
            }
            ObjectEdit::RemoveMember { group, member } => crm::remove_member(cib, group, member),
            ObjectEdit::Set { path, value } => crm::set_value(cib, path, value),
            ObjectEdit::Schema { name } => crm::with_schema(cib, name),
        }
    }

    /// Refuses what would lose sight of something that runs.
    fn bear(&self, change: &ObjectEdit, force: bool) -> Result<(), ApiError> {
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the rest leaves every resource its name"
        )]
        let (verb, names) = match change {
            ObjectEdit::Delete { objects } if !force => ("delete", objects.as_slice()),
            ObjectEdit::Rename { from, .. } => ("rename", std::slice::from_ref(from)),
            _ => return Ok(()),
        };
        let running: Vec<String> = names
            .iter()
            .filter_map(|name| {
                let nodes = self.active_in(name);
                (!nodes.is_empty()).then(|| format!("{name} runs on {}", nodes.join(", ")))
            })
            .collect();
        if running.is_empty() {
            return Ok(());
        }
        let what = match names {
            [one] => one.clone(),
            _ => "these objects".to_owned(),
        };
        let message = format!("cannot {verb} {what}: {}; nothing was changed", running.join("; "));
        let first = names.iter().find(|name| !self.active_in(name).is_empty());
        let stop = format!("first: haven resource stop {}", first.map_or("RESOURCE", |name| name));
        let remedy = match verb {
            "delete" => format!(
                "{stop}; or with --stop, which does that, or --force, which has the cluster stop what is no longer configured"
            ),
            _ => stop,
        };
        Err(ApiError::new(Code::Unsafe, message).remedy(remedy))
    }

    /// Names of the nodes where a resource, a group inside a clone included, or a part of it is active.
    fn active_in(&self, id: &str) -> Vec<String> {
        let inner = self.state.cib.resources.iter().find_map(|resource| match resource {
            Resource::Clone(clone) => match &*clone.child {
                CloneChild::Group(group) if group.id == id => Some(clone.id.clone()),
                CloneChild::Group(_) | CloneChild::Primitive(_) => None,
            },
            Resource::Primitive(_) | Resource::Group(_) | Resource::Bundle(_) => None,
        });
        self.active_on(inner.as_deref().unwrap_or(id))
    }
}

/// What a change does, for the log and for messages.
fn in_words(change: &ObjectEdit) -> String {
    match change {
        ObjectEdit::Delete { objects } => format!("delete {}", objects.join(" ")),
        ObjectEdit::Rename { from, to } => format!("rename {from} {to}"),
        ObjectEdit::AddMember { group, member, before, after } => {
            let beside = match (before, after) {
                (Some(other), _) => format!(" before {other}"),
                (None, Some(other)) => format!(" after {other}"),
                (None, None) => String::new(),
            };
            format!("modgroup {group} add {member}{beside}")
        }
        ObjectEdit::RemoveMember { group, member } => format!("modgroup {group} remove {member}"),
        ObjectEdit::Set { path, value } => format!("set {path} {value}"),
        ObjectEdit::Schema { name } => format!("schema {name}"),
    }
}
