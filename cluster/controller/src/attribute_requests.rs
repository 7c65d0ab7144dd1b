//! Requests about attributes of nodes: transient ones are the node's own affair, permanent ones the
//! configuration's.

use haven_api::{ApiError, AttributeLifetime, AttributeRow, Code, Notice, ReplyBody, RequestBody};
use haven_types::NodeId;

use crate::attributes::{AttributeChange, Values, checked_name, expanded};
use crate::controller::Controller;
use crate::forwarding::Forwarded;
use crate::message::PeerMessage;
use crate::port::Clock;
use crate::request::ReplyTo;
use crate::waiting::Change;

impl Controller {
    /// Serves a change of a transient attribute; hands every other request back. No coordinator is
    /// needed: a node without a majority goes on keeping its own.
    pub(crate) fn serve_attribute(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        body: RequestBody,
    ) -> Option<RequestBody> {
        let RequestBody::NodeAttributeSet {
            node,
            name,
            value,
            lifetime: AttributeLifetime::Reboot,
            delay_ms,
            private,
        } = body
        else {
            return Some(body);
        };
        let change = AttributeChange { name, value, delay_ms, private };
        if let Err(error) = self.change_transient(clock, to, node, change) {
            self.reply(to, false, Err(error));
        }
        None
    }

    fn change_transient(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        node: Option<String>,
        change: AttributeChange,
    ) -> Result<(), ApiError> {
        let id = node.as_deref().map_or(Ok(self.config.node), |name| self.known_node(name))?;
        if id == self.config.node {
            let answer = self.change_own(clock, &change);
            self.reply(to, false, answer);
            return Ok(());
        }
        if !self.heard(id) {
            let name = self.name_of(id);
            let message = format!(
                "cannot change \"{}\" of {name}: the node is not heard, and its transient \
                 attributes end with its life",
                change.name
            );
            return Err(ApiError::new(Code::Unavailable, message)
                .remedy(format!("start {name}, or set it for ever: --lifetime forever")));
        }
        let ReplyTo::Local(request) = to else {
            return Err(ApiError::new(Code::Internal, "attributes are not passed on twice"));
        };
        let number = self.next_forward;
        self.next_forward += 1;
        let findings = Vec::new();
        let boot = self.boot_of(id);
        let (node, arrived, leaves) = (id, false, false);
        self.forwarded.insert(number, Forwarded { request, node, boot, arrived, findings, leaves });
        self.send(id, &PeerMessage::ChangeAttribute { id: Some(number), change });
        Ok(())
    }

    /// Another node wants an attribute of this one changed. Without a number nobody waits for it.
    pub(crate) fn on_change_attribute(
        &mut self,
        clock: Clock,
        from: NodeId,
        id: Option<u64>,
        change: &AttributeChange,
    ) {
        let answer = self.change_own(clock, change);
        if let Some(id) = id {
            self.reply(ReplyTo::Peer(from, id), false, answer);
        }
    }

    fn change_own(
        &mut self,
        clock: Clock,
        change: &AttributeChange,
    ) -> Result<ReplyBody, ApiError> {
        let own = self.histories.get(&self.config.node).cloned().unwrap_or_default();
        let (mut values, mut traits) = (own.attributes, own.traits);
        let changed = change.apply(&mut values, &mut traits).map_err(|refused| {
            ApiError::new(Code::BadData, format!("nothing was changed: {refused}"))
        })?;
        let delay = traits.get(&change.name).map_or(0, |traits| traits.delay_ms);
        let value = values.get(&change.name).cloned();
        if changed {
            self.set_attributes_with(clock, values, Some(traits));
        }
        let (name, node) = (&change.name, &self.config.name);
        let what = match (value, changed) {
            (Some(value), true) => format!("{name} of {node} is {value} until it restarts"),
            (Some(value), false) => format!("{name} of {node} was {value} already"),
            (None, true) => format!("{name} of {node} is deleted"),
            (None, false) => format!("{node} had no {name}"),
        };
        let later = match (changed, delay) {
            (false, _) | (true, 0) => String::new(),
            (true, delay) => format!(", in force {delay} ms after its last change on any node"),
        };
        let text = format!("{what}{later}");
        Ok(ReplyBody::Done(Notice { text, elapsed_ms: 0, pending: Vec::new() }))
    }

    /// Sets or deletes an attribute in the configuration. Only the coordinator gets here.
    pub(crate) fn change_permanent(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        body: RequestBody,
    ) -> Result<(), ApiError> {
        let RequestBody::NodeAttributeSet { node, name, value, delay_ms, private, .. } = body
        else {
            return Err(ApiError::new(Code::Internal, "this is no change of an attribute"));
        };
        if delay_ms.is_some() || private {
            let message = format!("\"{name}\" cannot be damped or private in the configuration");
            return Err(ApiError::new(Code::Usage, message)
                .remedy("say --lifetime reboot, or leave --delay and --private out"));
        }
        checked_name(&name).map_err(|error| ApiError::new(Code::BadData, error.to_string()))?;
        let node = node.unwrap_or_else(|| self.config.name.clone());
        self.known_node(&node)?;
        let present = self.permanent(&node).remove(&name);
        let value = value.map(|wanted| expanded(present.as_deref(), &wanted));
        let what = match &value {
            Some(value) => format!("{name} of {node} is {value}"),
            None => format!("{name} of {node} is deleted"),
        };
        let change = Change::action(what, false, None);
        self.edit(clock, to, author, change, |cib| {
            cib.set_node_attribute(&node, &name, value.as_deref())
        })
    }

    /// What the configuration says of a node, where no rule decides.
    fn permanent(&self, node: &str) -> Values {
        let nodes = self.state.cib.nodes.iter().filter(|known| known.uname == node);
        nodes
            .flat_map(|node| &node.attributes)
            .filter(|set| set.rule.is_none())
            .flat_map(|set| &set.pairs)
            .rev()
            .filter_map(|pair| Some((pair.name.clone(), pair.value.clone()?)))
            .collect()
    }

    /// The transient attributes that plans are made with.
    pub(crate) fn transient(&self, id: NodeId) -> Values {
        let Some(history) = self.histories.get(&id).filter(|_| !self.dead.contains_key(&id)) else {
            return Values::new();
        };
        let mut values = self.dampener.in_force(id, &history.attributes);
        let private = |name: &String| history.traits.get(name).is_some_and(|traits| traits.private);
        values.retain(|name, _| !private(name));
        values
    }

    /// Whether an attribute of a node is on, until its restart or for ever.
    pub(crate) fn is_on(&self, id: NodeId, name: &str) -> bool {
        let transient = self.transient(id).remove(name);
        let value = transient.or_else(|| self.permanent(&self.name_of(id)).remove(name));
        value.is_some_and(|value| haven_cib::boolean(&value) == Some(true))
    }

    /// Rows of the attributes asked for.
    pub(crate) fn attribute_rows(
        &self,
        node: Option<&str>,
        name: Option<&str>,
    ) -> Result<ReplyBody, ApiError> {
        let ids: Vec<NodeId> = match node {
            Some(node) => vec![self.known_node(node)?],
            None => self.state.members.keys().copied().collect(),
        };
        let wanted = |row: &AttributeRow| name.is_none_or(|name| row.name == name);
        let mut rows: Vec<AttributeRow> =
            ids.into_iter().flat_map(|id| self.rows_of(id)).filter(wanted).collect();
        rows.sort_by(|a, b| (&a.node, &a.name, a.lifetime).cmp(&(&b.node, &b.name, b.lifetime)));
        Ok(ReplyBody::Attributes(rows))
    }

    fn rows_of(&self, id: NodeId) -> Vec<AttributeRow> {
        let node = self.name_of(id);
        let permanent = self.permanent(&node).into_iter().map(|(name, value)| AttributeRow {
            node: node.clone(),
            name,
            value: Some(value),
            lifetime: AttributeLifetime::Forever,
            pending: None,
            delay_ms: 0,
            private: false,
        });
        let mut rows: Vec<AttributeRow> = permanent.collect();
        let Some(history) = self.histories.get(&id).filter(|_| !self.dead.contains_key(&id)) else {
            return rows;
        };
        let in_force = self.dampener.in_force(id, &history.attributes);
        let names: std::collections::BTreeSet<&String> =
            in_force.keys().chain(history.attributes.keys()).collect();
        rows.extend(names.into_iter().map(|name| {
            let (value, told) = (in_force.get(name), history.attributes.get(name));
            let traits = history.traits.get(name).copied().unwrap_or_default();
            AttributeRow {
                node: node.clone(),
                name: name.clone(),
                value: value.cloned(),
                lifetime: AttributeLifetime::Reboot,
                pending: (value != told).then(|| told.cloned().unwrap_or_default()),
                delay_ms: u64::from(traits.delay_ms),
                private: traits.private,
            }
        }));
        rows
    }
}
