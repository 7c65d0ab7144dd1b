//! The cost of a packet on the heartbeat thread: `cargo bench -p haven-messaging`.
#![allow(clippy::print_stdout, reason = "prints what it measured")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "measures real time")]

use std::collections::BTreeSet;
use std::time::Instant as Clock;

use haven_base::Instant;
use haven_messaging::frame::{HEADER, MAX_DATAGRAM};
use haven_messaging::{ClusterKey, Express, Frames, Keyring, Kind, Local};
use haven_types::{BootId, LinkId, NodeId};

const ROUNDS: u32 = 200_000;

fn node(id: u16) -> Frames {
    let local = Local { node: NodeId(id), boot: BootId(1), salt: u64::from(id) };
    let mut frames = Frames::new(local, Keyring::new(ClusterKey { epoch: 1, secret: [7; 32] }));
    frames.set_members(Instant::ZERO, &BTreeSet::from([NodeId(1), NodeId(2)]));
    frames
}

fn measure(name: &str, mut work: impl FnMut()) {
    let begun = Clock::now();
    for _ in 0..ROUNDS {
        work();
    }
    println!("{name}: {} ns", begun.elapsed().as_nanos() / u128::from(ROUNDS));
}

fn main() {
    let (mut a, mut b) = (node(1), node(2));
    let mut datagram = Vec::with_capacity(MAX_DATAGRAM);
    // Each learns the other's boot id.
    let mut other = Vec::new();
    for _ in 0..3 {
        assert!(a.seal(NodeId(2), LinkId(0), Kind::Beat, b"", &mut datagram).is_ok(), "a member");
        let _unknown_at_first = b.open(Instant::ZERO, &mut datagram);
        assert!(b.seal(NodeId(1), LinkId(0), Kind::Beat, b"", &mut other).is_ok(), "a member");
        let _unknown_at_first = a.open(Instant::ZERO, &mut other);
    }
    for length in [40, 200, 1_100] {
        let payload = vec![0_u8; length];
        measure(&format!("seal {length} bytes"), || {
            let sealed = a.seal(NodeId(2), LinkId(0), Kind::Beat, &payload, &mut datagram);
            assert!(sealed.is_ok(), "a member");
        });
        measure(&format!("seal and open {length} bytes"), || {
            let sealed = a.seal(NodeId(2), LinkId(0), Kind::Beat, &payload, &mut datagram);
            assert!(sealed.is_ok(), "a member");
            assert!(b.open(Instant::ZERO, &mut datagram).is_ok(), "authentic");
        });
    }
    let mut stranger = [0x55_u8; 200];
    measure("refuse a stranger's packet", || {
        assert!(b.open(Instant::ZERO, &mut stranger).is_err(), "no magic");
    });
    assert!(a.seal(NodeId(2), LinkId(0), Kind::Beat, &[0; 200], &mut datagram).is_ok(), "a member");
    let repeated = datagram.clone();
    assert!(b.open(Instant::ZERO, &mut datagram).is_ok(), "authentic");
    measure("refuse a repeated packet", || {
        assert!(b.open(Instant::ZERO, &mut repeated.clone()).is_err(), "seen before");
    });
    assert!(a.seal(NodeId(2), LinkId(0), Kind::Beat, &[0; 200], &mut datagram).is_ok(), "a member");
    datagram[HEADER] ^= 1;
    measure("refuse a forged packet", || {
        assert!(b.open(Instant::ZERO, &mut datagram.clone()).is_err(), "not authentic");
    });
    let mut express = Express::new(BootId(1), vec![LinkId(0), LinkId(1)]);
    measure("express: an idle tick", || {
        let out = express.step(Instant::ZERO, haven_messaging::express::Input::Tick);
        assert!(out.is_empty(), "nothing to do");
    });
}
