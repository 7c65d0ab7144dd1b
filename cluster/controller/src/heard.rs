//! What the heartbeat thread tells: views, verdicts about nodes, links, and what became of leases.

use std::time::Duration;

use haven_api::EventSeverity;
use haven_executor::Input as ToExecutor;
use haven_heartbeat::{LossCause, MAX_CLAIMS, Output as Beat};
use haven_types::operation::Lease;
use haven_types::{BootId, GroupId, NodeId};

use crate::alarms::Subject;
use crate::alerts::Happened;
use crate::controller::{Controller, Internal};
use crate::message::PeerMessage;
use crate::port::{Clock, Hook, Output};

/// A dead coordinator is replaced by the detector's verdict, not by a timeout: the consensus core
/// may tick as leisurely as this, and an idle node stays idle.
const LEAST_TICK: Duration = Duration::from_millis(50);

impl Controller {
    pub(crate) fn on_heartbeat(&mut self, clock: Clock, report: Beat) {
        match report {
            Beat::View(view) => {
                self.view = view;
                self.fail_forwarded();
                self.replan_now();
            }
            Beat::Suspect { node, silent, .. } => self.on_suspect(clock, node, silent),
            Beat::Alive { node, boot } => self.on_alive(clock, node, boot),
            Beat::Dead { node, successor, .. } => self.on_dead(clock, node, successor),
            Beat::Link { peer, link, up } => {
                let (peer, word) = (self.name_of(peer), if up { "up" } else { "down" });
                let severity = if up { EventSeverity::Info } else { EventSeverity::Warning };
                let text = format!("link {link} to {peer} is {word}");
                self.event(clock, "HV1102", severity, format!("link/{link}"), text);
            }
            Beat::LeaseGained { group, epoch, .. } => {
                let lease = Lease { group, epoch };
                self.claims.ended(group);
                self.sound(&Subject::Group(group));
                self.inbox.push_back(Internal::Executor(ToExecutor::LeaseGained(lease)));
            }
            Beat::LeaseLost { group, epoch, cause } => {
                let lease = Lease { group, epoch };
                self.on_lease_lost(clock, lease, cause);
            }
            Beat::Released { group, .. } => {
                self.inbox.push_back(Internal::Executor(ToExecutor::LeaseReleased(group)));
            }
            Beat::ConsensusTick(tick) => {
                let input = haven_consensus::Input::SetTick(tick.max(LEAST_TICK));
                self.inbox.push_back(Internal::Consensus(input));
            }
            Beat::DuplicateNode { node, newest, dropped } => {
                let name = self.name_of(node);
                let text = format!(
                    "two daemons run as {name} (boots {newest} and {dropped}): stop the one whose \
                     state directory was copied"
                );
                self.alarm_for_a_while(clock, Subject::Copies(node), text);
            }
            Beat::TooManyClaims { group } => self.on_too_many_claims(clock, group),
            Beat::Send { .. } | Beat::Gate(_) | Beat::RestartReady { .. } => {}
        }
    }

    fn on_too_many_claims(&mut self, clock: Clock, group: GroupId) {
        self.claims.ended(group);
        let (name, here) = (self.group_name(group), &self.config.name);
        let text = format!(
            "{name} cannot start on {here}: a node holds {MAX_CLAIMS} leases at most, and {here} holds as many already; \
             put addresses that belong together into one resource or group, or keep some on other nodes; once there is \
             room here, `haven resource cleanup {name}` lets it start here again"
        );
        let refused = ToExecutor::ClaimRefused { group, reason: text.clone() };
        self.inbox.push_back(Internal::Executor(refused));
        self.alarm_for_a_while(clock, Subject::Group(group), text);
    }

    fn on_suspect(&mut self, clock: Clock, node: NodeId, silent: Duration) {
        let input = haven_consensus::Input::PeerAlive { node, alive: false };
        self.inbox.push_back(Internal::Consensus(input));
        self.suspected.insert(node);
        let name = self.name_of(node);
        let text = format!("{name} has been silent on all links for {} ms", silent.as_millis());
        self.event(clock, "HV1103", EventSeverity::Info, format!("node/{name}"), text);
    }

    fn on_alive(&mut self, clock: Clock, node: NodeId, boot: BootId) {
        if self.alive.get(&node).is_some_and(|(known, _)| *known != boot) {
            // The life that may have led is over, and nobody need bear its silence (docs/adr/0024).
            let input = haven_consensus::Input::PeerAlive { node, alive: false };
            self.inbox.push_back(Internal::Consensus(input));
        }
        let input = haven_consensus::Input::PeerAlive { node, alive: true };
        self.inbox.push_back(Internal::Consensus(input));
        self.suspected.remove(&node);
        let returned = self.dead.remove(&node).is_some();
        self.on_heard_again(node);
        let known = self.alive.get(&node).is_some_and(|(known, _)| *known == boot);
        if !known {
            self.inbox.push_back(Internal::Consensus(haven_consensus::Input::PeerStarted(node)));
            self.alive.insert(node, (boot, clock.now));
            self.quorum.forget(node);
            let stale = self.histories.get(&node).is_some_and(|history| history.boot != boot);
            if stale {
                self.dampener.forget(node);
                self.histories.remove(&node);
            }
        }
        if known && !returned {
            return;
        }
        let name = self.name_of(node);
        if !known {
            // Orders to its earlier life will not be answered, whether a verdict fell in between or the
            // daemon was back before anybody missed it.
            self.on_node_lost(node, &name);
            self.fail_forwarded_before(node, boot);
        }
        self.alert_node(clock, node, true, None);
        let text = format!("{name} is heard");
        self.event(clock, "HV1104", EventSeverity::Info, format!("node/{name}"), text);
        self.send_whole_status(node);
        self.tell_quorum(node);
        if let Some(coordinator) = &self.coordinator {
            let term = coordinator.term;
            self.send(node, &PeerMessage::StatusRequest { term });
        }
        let started: Vec<_> = self.executor.started().map(|(op, _)| op.clone()).collect();
        for operation in started {
            self.out.push(Output::Notify { operation, hook: Hook::PeerReturned });
        }
        self.replan();
    }

    /// The life of a node that is heard.
    pub(crate) fn boot_of(&self, node: NodeId) -> Option<BootId> {
        self.alive.get(&node).map(|(boot, _)| *boot)
    }

    fn on_dead(&mut self, clock: Clock, node: NodeId, successor: Option<NodeId>) {
        let input = haven_consensus::Input::PeerAlive { node, alive: false };
        self.inbox.push_back(Internal::Consensus(input));
        self.dead.insert(node, clock.now);
        self.dampener.forget(node);
        self.alive.remove(&node);
        self.suspected.remove(&node);
        self.quorum.forget(node);
        let name = self.name_of(node);
        self.alert_node(clock, node, false, successor);
        let text = format!("{name} is dead: a majority has not heard it on any link");
        self.event(clock, "HV1105", EventSeverity::Error, format!("node/{name}"), text);
        if self.led == Some(node) && successor == Some(self.config.node) {
            let text =
                format!("{} takes the coordinator's duties over from {name}", self.config.name);
            let subject = format!("node/{}", self.config.name);
            self.event(clock, "HV1205", EventSeverity::Info, subject, text);
            self.inbox.push_back(Internal::Consensus(haven_consensus::Input::ForceCampaign));
        }
        self.on_node_lost(node, &name);
    }

    /// One node tells of another: the coordinator, or who takes its duties over.
    fn alert_node(&mut self, clock: Clock, id: NodeId, member: bool, successor: Option<NodeId>) {
        let succeeds = self.led == Some(id) && successor == Some(self.config.node);
        if self.coordinator.is_some() || succeeds {
            let name = self.name_of(id);
            self.alert(clock, &Happened::Node { name, id, member });
        }
    }

    fn on_lease_lost(&mut self, clock: Clock, lease: Lease, cause: LossCause) {
        let superseded = match cause {
            // The executor asked for it and waits for the release itself.
            LossCause::Released => return,
            LossCause::Superseded => true,
            LossCause::Lapsed | LossCause::GateFailed => false,
        };
        self.inbox.push_back(Internal::Executor(ToExecutor::LeaseLost { lease, superseded }));
        let group = lease.group;
        let name = self.group_name(group);
        self.claims.ended(group);
        let written =
            self.grants_ahead.values().any(|(of, epoch)| *of == name && *epoch > lease.epoch);
        let why = match cause {
            LossCause::Lapsed if written => {
                "it is being granted anew, and this node could not renew it meanwhile"
            }
            LossCause::Lapsed => {
                "no majority renewed it in time; this host is silent for it until one does"
            }
            LossCause::GateFailed => {
                "the kernel did not keep its gate open; this host is silent for it until it does"
            }
            LossCause::Superseded => "it was granted to another node meanwhile",
            LossCause::Released => "it was released",
        };
        let text = format!("the lease of {name} (epoch {}) ended here: {why}", lease.epoch);
        // Whoever decided on another node knows why.
        let severity = if superseded { EventSeverity::Info } else { EventSeverity::Warning };
        self.event(clock, "HV1501", severity, format!("resource/{name}"), text);
    }

    pub(crate) fn group_name(&self, group: GroupId) -> String {
        let found = self.state.grants.iter().find(|(_, grant)| grant.group == group);
        found.map_or_else(|| format!("group {group}"), |(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use haven_api::{Format, Load, LoadMode, ReplyBody, RequestBody};
    use haven_types::{Epoch, GroupId, NodeId};

    use super::Beat;
    use crate::bench::{Bench, VIP};

    #[test]
    fn an_address_for_whose_lease_a_node_has_no_room_starts_elsewhere_and_it_is_told_why() {
        assert_eq!(haven_cib::crm::MAX_LEASES, haven_heartbeat::MAX_CLAIMS);
        let mut bench = Bench::new("property stonith-enabled=false");
        let full = bench.coordinator();
        bench.full = Some(NodeId(full));
        bench.load(full, &format!("{VIP}\nlocation here vip 100: n{full}"), false).unwrap();
        bench.run(5_000);
        assert!(bench.called("vip_start_0").iter().all(|node| *node != full));
        assert_ne!(bench.owner(), full);
        let answer = bench.answer(full, RequestBody::Status).unwrap();
        let ReplyBody::Status(status) = answer else { panic!("{answer:?}") };
        let told = &status.failed[0];
        assert!(
            told.reason.contains(&format!("vip cannot start on n{full}: a node holds 64")),
            "{told:?}"
        );
        assert!(told.reason.contains("haven resource cleanup vip"), "{told:?}");
        assert!(status.alarms.contains(&told.reason), "{:?}", status.alarms);
    }

    #[test]
    fn a_node_that_is_full_for_a_moment_does_not_fail_a_start() {
        let mut bench = Bench::new("property stonith-enabled=false");
        let full = bench.coordinator();
        bench.full = Some(NodeId(full));
        let (text, format) = (format!("{VIP}\nlocation here vip 100: n{full}"), Format::Crm);
        let load = Load { text, format, mode: LoadMode::Update, ..Load::default() };
        bench.ask(full, RequestBody::ConfigureLoad(load));
        let waits = |bench: &Bench| bench.nodes[&NodeId(full)].executor.busy();
        for _ in 0..1_000 {
            bench.run(5);
            if waits(&bench) {
                break;
            }
        }
        assert!(waits(&bench), "the start waits for room");
        // What is stopped in the same plan gives its lease up.
        bench.full = None;
        let (group, epoch) = (GroupId(99), Epoch(1));
        bench.beat(full, Beat::Released { group, epoch });
        bench.run(5_000);
        assert_eq!(bench.called("vip_start_0"), [full]);
        let answer = bench.answer(full, RequestBody::Status).unwrap();
        let ReplyBody::Status(status) = answer else { panic!("{answer:?}") };
        assert!(status.failed.is_empty(), "{:?}", status.failed);
        let wrong = |text: &String| text.contains("cannot start");
        assert!(!status.alarms.iter().any(wrong), "{:?}", status.alarms);
    }
}
