//! Requests that another node carries out: sent there, answered from there, or lost with it.

use haven_api::{ApiError, Code, Finding, ReplyBody, RequestBody};
use haven_types::{BootId, NodeId};

use crate::controller::Controller;
use crate::message::PeerMessage;
use crate::port::{Clock, Output};
use crate::request::ReplyTo;

/// A request that another node carries out.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded {
    /// The client's request.
    pub(crate) request: u64,
    /// Who carries it out.
    pub(crate) node: NodeId,
    /// The life that does; of a node that spoke before it was heard, the one heard next.
    pub(crate) boot: Option<BootId>,
    /// It was heard of there since: it has arrived.
    pub(crate) arrived: bool,
    /// What this node's agents say about it, for the answer.
    pub(crate) findings: Vec<Finding>,
    /// It asks for the removal of this node: whether that happened is known here before any answer comes.
    pub(crate) leaves: bool,
}

impl Controller {
    pub(crate) fn on_forward(
        &mut self,
        clock: Clock,
        from: NodeId,
        id: u64,
        body: &[u8],
        author: String,
    ) {
        let reply_to = ReplyTo::Peer(from, id);
        match serde_json::from_slice(body) {
            Ok(_) if self.coordinator.is_none() => {
                let error = ApiError::new(Code::NoCoordinator, "the coordinator has just changed")
                    .remedy("try again");
                self.reply(reply_to, false, Err(error));
            }
            Ok(body) => self.serve(clock, reply_to, author, body),
            Err(error) => {
                let error = ApiError::new(
                    Code::BadData,
                    format!("the coordinator does not understand the request: {error}"),
                )
                .remedy("run the same version of haven on all nodes");
                self.reply(reply_to, false, Err(error));
            }
        }
    }

    pub(crate) fn on_forwarded(&mut self, id: u64, more: bool, body: &[u8]) {
        let Some(forwarded) = self.forwarded.get_mut(&id) else { return };
        forwarded.arrived = true;
        let request = forwarded.request;
        let mut body = serde_json::from_slice(body).unwrap_or_else(|error| {
            let message = format!("the coordinator's answer cannot be read: {error}");
            Err(ApiError::new(Code::Internal, message))
        });
        if let Ok(ReplyBody::Committed { findings, .. }) = &mut body {
            let new = |found: &&Finding| !findings.contains(found);
            let here: Vec<Finding> = forwarded.findings.iter().filter(new).cloned().collect();
            findings.extend(here);
        }
        if !more {
            self.forwarded.remove(&id);
        }
        self.out.push(Output::Reply { id: request, more, body: Box::new(body) });
    }

    /// Tells those whose requests went to a node that left the view that it will not answer.
    pub(crate) fn fail_forwarded(&mut self) {
        let members = self.view.members.clone();
        let gone = |forwarded: &Forwarded| !members.contains(&forwarded.node);
        self.fail_forwarded_to("is gone, which was to carry this out", gone);
    }

    /// What was on its way to a node may be lost: large messages go by a connection, and that is a new one.
    pub(crate) fn fail_forwarded_on_the_way(&mut self, node: NodeId) {
        let lost = |forwarded: &Forwarded| forwarded.node == node && !forwarded.arrived;
        self.fail_forwarded_to(
            "was to carry this out, and may not have got it: the connection there was lost",
            lost,
        );
    }

    /// This life of a node is heard: what an earlier one was asked it will not answer.
    pub(crate) fn fail_forwarded_before(&mut self, node: NodeId, boot: BootId) {
        for forwarded in self.forwarded.values_mut().filter(|it| it.node == node) {
            forwarded.boot.get_or_insert(boot);
        }
        let over = |forwarded: &Forwarded| {
            forwarded.node == node && forwarded.boot.is_some_and(|before| before != boot)
        };
        self.fail_forwarded_to("was started anew, which was to carry this out", over);
    }

    /// Tells those whose requests went to such nodes that no answer will come, and why: what the node did.
    fn fail_forwarded_to(&mut self, why: &str, gone: impl Fn(&Forwarded) -> bool) {
        let lost: Vec<(u64, u64, NodeId)> = self
            .forwarded
            .iter()
            .filter(|(_, forwarded)| gone(forwarded))
            .map(|(id, forwarded)| (*id, forwarded.request, forwarded.node))
            .collect();
        for (id, request, node) in lost {
            self.forwarded.remove(&id);
            let message = format!("{} {why}", self.name_of(node));
            let error = ApiError::new(Code::Indeterminate, message)
                .remedy("see `haven status` and `haven configure show` for what is in force");
            self.out.push(Output::Reply { id: request, more: false, body: Box::new(Err(error)) });
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is for the coordinator")]
    pub(crate) fn forward(
        &mut self,
        to: ReplyTo,
        author: &str,
        body: &RequestBody,
        findings: Vec<Finding>,
    ) {
        let ReplyTo::Local(request) = to else { return };
        let Some(leader) = self.leader else {
            let error = ApiError::new(
                Code::NoCoordinator,
                "no coordinator is known here: this node has no majority, or one is being elected",
            )
            .remedy(
                "see `haven status`; if this partition has no majority, restore links or nodes",
            );
            self.reply(to, false, Err(error));
            return;
        };
        let id = self.next_forward;
        self.next_forward += 1;
        let body = self.naming_this_node(body);
        let leaves = matches!(&body, RequestBody::ClusterRemoveNode { node, .. } if *node == self.config.name);
        let boot = self.boot_of(leader);
        let (node, arrived) = (leader, false);
        self.forwarded.insert(id, Forwarded { request, node, boot, arrived, findings, leaves });
        self.send(leader, &PeerMessage::forward(id, &body, author));
    }

    /// The same request for another node to carry out: what means this node says so.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest names its nodes")]
    fn naming_this_node(&self, body: &RequestBody) -> RequestBody {
        let mut body = body.clone();
        match &mut body {
            RequestBody::ClusterLeave { force } => {
                let (node, force) = (self.config.name.clone(), *force);
                return RequestBody::ClusterRemoveNode { node, force };
            }
            RequestBody::NodeStandby { node, .. }
            | RequestBody::NodeMaintenance { node, .. }
            | RequestBody::NodeAttributeSet { node, .. } => {
                node.get_or_insert_with(|| self.config.name.clone());
            }
            _ => {}
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Bench, VIP};
    use crate::port::Input;
    use haven_heartbeat::Output as Beat;

    /// A cluster, its coordinator, and another node, where people ask.
    fn scene() -> (Bench, u16, u16) {
        let bench = Bench::new(VIP);
        let at = bench.coordinator();
        let asks = bench.ids().into_iter().find(|id| *id != at).unwrap();
        (bench, at, asks)
    }

    /// A planned restart of the coordinator is over before anybody misses it: no view tells of it.
    #[test]
    fn who_asked_a_life_that_is_over_is_told() {
        let (mut bench, at, asks) = scene();
        let resource = "vip".to_owned();
        let stop = RequestBody::ResourceStop { resource, wait: false, timeout_ms: None };
        let request = bench.ask(asks, stop);
        bench.kill(at);
        bench.run(50);
        // It was asked before it was heard, and the life that is heard then answers; so it does after a verdict.
        let controller = bench.nodes.get_mut(&NodeId(asks)).unwrap();
        controller.alive.remove(&NodeId(at));
        controller.forwarded.values_mut().for_each(|it| it.boot = None);
        bench.beat(asks, Beat::Alive { node: NodeId(at), boot: BootId(1) });
        assert!(!bench.answers.contains_key(&request));
        bench.beat(asks, Beat::Alive { node: NodeId(at), boot: BootId(2) });
        let answers = bench.answers.remove(&request).unwrap_or_default();
        let [Err(error)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(error.code, Code::Indeterminate);
        assert_eq!(error.message, format!("n{at} was started anew, which was to carry this out"));
        assert!(error.remedy.as_ref().is_some_and(|it| it.contains("haven configure show")));
    }

    #[test]
    fn who_asked_by_a_connection_that_broke_is_told_unless_it_arrived() {
        let (mut bench, at, asks) = scene();
        let resource = "vip".to_owned();
        let stop = RequestBody::ResourceStop { resource, wait: true, timeout_ms: None };
        let lost = bench.ask(asks, stop.clone());
        bench.flying.clear();
        bench.step(asks, Input::PeerReset(NodeId(at)));
        let answers = bench.answers.remove(&lost).unwrap_or_default();
        let [Err(error)] = answers.as_slice() else { panic!("{answers:?}") };
        let told = format!("n{at} was to carry this out, and may not have got it");
        assert!(error.message.starts_with(&told), "{error:?}");
        bench.hanging.insert("vip_stop_0".to_owned());
        let arrives = bench.ask(asks, stop);
        bench.run(1_500);
        bench.step(asks, Input::PeerReset(NodeId(at)));
        assert_eq!(bench.answers.remove(&arrives), None, "it was heard that it is under way");
    }
}
