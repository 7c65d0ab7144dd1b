//! Orders and answers that get lost, come twice, or come too late.

use haven_api::RequestBody;
use haven_heartbeat::Output as Beat;
use haven_types::{BootId, NodeId};

use crate::bench::{Bench, VIP};
use crate::message::PeerMessage;
use crate::orders::AGAIN_AFTER;
use crate::port::Input;

/// An address that is ordered to start on a node whose every message is in our hands.
struct Scene {
    bench: Bench,
    /// Who coordinates.
    at: u16,
    /// Where it shall start; neither owns it nor coordinates.
    to: u16,
    /// The order to start, as it was sent first.
    order: Vec<u8>,
}

fn decoded(bytes: &[u8]) -> PeerMessage {
    PeerMessage::decode(bytes).unwrap()
}

fn starts(bytes: &[u8]) -> bool {
    matches!(decoded(bytes), PeerMessage::Order { order, .. } if order.operation.key() == "vip_start_0")
}

fn status(bytes: &[u8]) -> bool {
    matches!(decoded(bytes), PeerMessage::StatusDelta(_) | PeerMessage::Status(_))
}

fn moved(node: u16) -> RequestBody {
    let (resource, node) = ("vip".to_owned(), Some(format!("n{node}")));
    RequestBody::ResourceMove { resource, node, lifetime: None, wait: false, timeout_ms: None }
}

impl Scene {
    /// The order is on its way; nothing else is.
    fn ordered() -> Self {
        let mut bench = Bench::new(VIP);
        let (at, owner) = (bench.coordinator(), bench.owner());
        let to = bench.ids().into_iter().find(|id| *id != at && *id != owner).unwrap();
        bench.ask(at, moved(to));
        for _ in 0..1_000 {
            let sent = bench.flying.iter().position(|(_, _, bytes)| starts(bytes));
            if let Some(position) = sent {
                let (_, _, order) = bench.flying.remove(position).unwrap();
                return Self { bench, at, to, order };
            }
            bench.run(1);
        }
        panic!("it was not ordered: {:?}", bench.calls);
    }

    /// Lets time pass in which these messages get lost.
    fn run_without(&mut self, millis: u64, lost: impl Fn(&[u8]) -> bool) {
        let until = self.bench.now + millis;
        while self.bench.now < until {
            self.bench.run(1);
            self.bench.flying.retain(|(_, _, bytes)| !lost(bytes));
        }
    }

    fn deliver(&mut self, bytes: Vec<u8>) {
        let from = NodeId(self.at);
        self.bench.step(self.to, Input::Peer { from, boot: BootId(1), bytes });
    }

    fn started(&self) -> usize {
        self.bench.called("vip_start_0").iter().filter(|id| **id == self.to).count()
    }

    fn flights(&self) -> usize {
        let coordinator = self.bench.nodes[&NodeId(self.at)].coordinator.as_ref();
        coordinator.unwrap().engine.flights().len()
    }

    fn sends(&self, wanted: impl Fn(&PeerMessage) -> bool) -> bool {
        self.bench.flying.iter().any(|(_, _, bytes)| wanted(&decoded(bytes)))
    }
}

fn pause() -> u64 {
    u64::try_from(AGAIN_AFTER.as_millis()).unwrap()
}

#[test]
fn a_lost_order_is_given_again() {
    let mut scene = Scene::ordered();
    scene.bench.run(pause() - 100);
    assert_eq!(scene.started(), 0, "not before its time");
    scene.bench.run(300);
    assert_eq!(scene.started(), 1);
    scene.bench.run(60_000);
    assert_eq!((scene.started(), scene.flights()), (1, 0), "answered, it is not repeated");
}

#[test]
fn a_lost_order_is_given_again_as_soon_as_the_way_is_mended() {
    let mut scene = Scene::ordered();
    scene.bench.run(50);
    scene.bench.step(scene.at, Input::PeerReset(NodeId(scene.to)));
    scene.bench.run(50);
    assert_eq!(scene.started(), 1);
}

#[test]
fn an_order_that_comes_twice_is_carried_out_once() {
    let mut scene = Scene::ordered();
    let order = scene.order.clone();
    scene.deliver(order.clone());
    scene.deliver(order);
    scene.bench.run(500);
    assert_eq!((scene.started(), scene.flights()), (1, 0));
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut scene = Scene::ordered();
    let order = scene.order.clone();
    scene.deliver(order);
    let node = NodeId(scene.to);
    scene.bench.flying.retain(|(from, _, bytes)| *from != node || !status(bytes));
    scene.run_without(pause() - 100, status);
    assert_eq!((scene.started(), scene.flights()), (1, 1), "nobody knows that it has started");
    scene.bench.run(400);
    assert_eq!((scene.started(), scene.flights()), (1, 0));
    assert_eq!(scene.bench.called("vip_monitor_10000").last(), Some(&scene.to), "the plan goes on");
}

#[test]
fn an_order_that_is_not_planned_any_more_is_withdrawn() {
    let mut scene = Scene::ordered();
    let third = scene.bench.ids().into_iter().find(|id| ![scene.at, scene.to].contains(id));
    let third = third.unwrap();
    scene.bench.ask(scene.at, moved(third));
    scene.bench.run(pause() - 100);
    assert!(scene.started() == 0 && scene.flights() > 0);
    scene.bench.run(1_500);
    assert_eq!((scene.started(), scene.bench.owner()), (0, third));
    // A copy that comes later still is refused.
    let order = scene.order.clone();
    scene.deliver(order);
    assert!(scene.sends(|message| matches!(message, PeerMessage::Refused { .. })));
    scene.bench.run(500);
    assert_eq!((scene.started(), scene.flights()), (0, 0));
}

#[test]
fn an_order_to_another_life_is_not_for_this_one() {
    let mut scene = Scene::ordered();
    let PeerMessage::Order { boot, order } = decoded(&scene.order) else { panic!("no order") };
    assert_eq!(boot, Some(BootId(1)), "the life that is heard");
    scene.deliver(PeerMessage::Order { boot: Some(BootId(2)), order: order.clone() }.encode());
    assert!(!scene.bench.nodes[&NodeId(scene.to)].busy());
    scene.deliver(PeerMessage::Order { boot, order }.encode());
    scene.bench.run(500);
    assert_eq!(scene.started(), 1);
}

/// What is no part of a plan ends with the life it was asked of, or whoever waits for quiet waits for ever.
#[test]
fn an_errand_to_a_life_that_is_over_is_awaited_no_more() {
    let mut bench = Bench::new(VIP);
    let at = bench.coordinator();
    let to = bench.ids().into_iter().find(|id| *id != at).unwrap();
    let node = Some(format!("n{to}"));
    bench.ask(at, RequestBody::ResourceCleanup { resource: None, node });
    bench.flying.clear();
    let awaited = |bench: &Bench| {
        let coordinator = bench.nodes[&NodeId(at)].coordinator.as_ref().unwrap();
        let orders = coordinator.orders.awaited().filter(|(of, _)| *of == NodeId(to)).count();
        (orders, coordinator.errands.len())
    };
    assert_eq!(awaited(&bench), (1, 1));
    bench.beat(at, Beat::Alive { node: NodeId(to), boot: BootId(2) });
    assert_eq!(awaited(&bench), (0, 0));
}

#[test]
fn forgetting_a_failure_is_an_order_like_others() {
    let mut bench = Bench::new(VIP);
    let (at, owner) = (bench.coordinator(), bench.owner());
    bench.codes.insert((owner, "vip_monitor_10000".to_owned()), 1);
    bench.run(11_000);
    bench.codes.clear();
    bench.run(11_000);
    let failed = |bench: &Bench| {
        let known = &bench.nodes[&NodeId(at)].histories[&NodeId(owner)];
        known.attributes.keys().any(|name| name.starts_with("fail-count-"))
    };
    assert!(failed(&bench));
    bench.ask(at, RequestBody::ResourceCleanup { resource: None, node: None });
    if owner != at {
        bench.flying.clear();
        bench.run(pause() - 100);
        assert!(failed(&bench), "the order was lost");
    }
    bench.run(300);
    assert!(!failed(&bench));
    let awaited = bench.nodes[&NodeId(at)].coordinator.as_ref().unwrap().orders.deadline();
    assert_eq!(awaited, None, "all are answered");
}
