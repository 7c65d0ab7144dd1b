use std::collections::BTreeSet;

use haven_base::Rng;

use super::*;
use crate::frame::{HEADER, MAX_DATAGRAM, Malformed, TAG};
use crate::keyring::ClusterKey;

fn key(epoch: u32, fill: u8) -> ClusterKey {
    ClusterKey { epoch, secret: [fill; 32] }
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn node(id: u16, boot: u64, salt: u64) -> Frames {
    let local = Local { node: NodeId(id), boot: BootId(boot), salt };
    let mut frames = Frames::new(local, Keyring::new(key(1, 7)));
    frames.set_members(at(0), &BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]));
    frames
}

fn sealed(from: &mut Frames, to: u16, link: u8, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    from.seal(NodeId(to), LinkId(link), Kind::Beat, payload, &mut datagram).unwrap();
    datagram
}

/// Sends one frame and says what became of it.
fn pass(from: &mut Frames, to: &mut Frames, millis: u64) -> Result<Vec<u8>, Rejected> {
    let mut datagram = sealed(from, to.local().node.0, 0, b"beat");
    to.open(at(millis), &mut datagram).map(|opened| opened.payload.to_vec())
}

/// Lets two nodes learn each other's boot ids.
fn acquaint(a: &mut Frames, b: &mut Frames, millis: u64) {
    for _ in 0..5 {
        drop(pass(a, b, millis));
        drop(pass(b, a, millis));
    }
    assert!(pass(a, b, millis).is_ok() && pass(b, a, millis).is_ok());
}

fn pair() -> (Frames, Frames) {
    let (mut a, mut b) = (node(1, 10, 100), node(2, 20, 200));
    acquaint(&mut a, &mut b, 0);
    (a, b)
}

#[test]
fn a_frame_arrives_with_its_sender_link_and_kind() {
    let (mut a, mut b) = pair();
    let mut datagram = Vec::new();
    a.seal(NodeId(2), LinkId(5), Kind::Express, b"hello", &mut datagram).unwrap();
    assert!(!datagram.windows(5).any(|window| window == b"hello"), "sealed, not in clear");
    let opened = b.open(at(1), &mut datagram).unwrap();
    let expected = Opened {
        from: NodeId(1),
        boot: BootId(10),
        link: LinkId(5),
        kind: Kind::Express,
        payload: b"hello",
    };
    assert_eq!(opened, expected);
}

#[test]
fn two_nodes_that_start_understand_each_other_after_one_frame_each_way() {
    let (mut a, mut b) = (node(1, 10, 100), node(2, 20, 200));
    assert_eq!(pass(&mut a, &mut b, 0), Err(Rejected::NotFresh(NodeId(1))));
    assert!(pass(&mut b, &mut a, 0).is_ok());
    assert!(pass(&mut a, &mut b, 0).is_ok());
}

#[test]
fn the_copies_of_a_beat_on_every_link_are_all_accepted_once() {
    let (mut a, mut b) = pair();
    let copies: Vec<_> = (0..8).map(|link| sealed(&mut a, 2, link, b"beat")).collect();
    for (link, copy) in (0_u8..).zip(&copies) {
        assert_eq!(b.open(at(1), &mut copy.clone()).unwrap().link, LinkId(link));
    }
    for copy in &copies {
        assert_eq!(b.open(at(1), &mut copy.clone()), Err(Rejected::Replayed(NodeId(1))));
    }
}

#[test]
fn every_changed_bit_is_refused() {
    let (mut a, mut b) = pair();
    let datagram = sealed(&mut a, 2, 0, b"beat");
    for bit in 0..datagram.len() * 8 {
        let mut changed = datagram.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // Far apart in time, so that the allowance for unknown boot ids is not what refuses.
        let now = at(10_000 + u64::try_from(bit).unwrap() * 1_000);
        assert!(b.open(now, &mut changed).is_err(), "bit {bit}");
    }
    assert!(
        b.open(at(9_999_999), &mut datagram.clone()).is_ok(),
        "nothing was spoilt by forgeries"
    );
}

#[test]
fn strangers_are_told_apart_by_reason() {
    let (mut a, mut b) = pair();
    let datagram = sealed(&mut a, 2, 0, b"beat");
    let open = |frames: &mut Frames, datagram: &[u8]| {
        frames.open(at(5), &mut datagram.to_vec()).map(|_| ()).unwrap_err()
    };
    assert_eq!(open(&mut b, b"GET / HTTP/1.1"), Rejected::Malformed(Malformed::Short));
    assert_eq!(open(&mut b, &[0; 100]), Rejected::Malformed(Malformed::Magic));
    assert_eq!(open(&mut node(3, 1, 1), &datagram), Rejected::NotForUs(NodeId(2)));
    let mut few = node(2, 20, 200);
    few.set_members(at(0), &BTreeSet::from([NodeId(2), NodeId(3)]));
    assert_eq!(open(&mut few, &datagram), Rejected::NotMember(NodeId(1)));
    let local = Local { node: NodeId(2), boot: BootId(20), salt: 200 };
    for (ring, expected) in [
        (Keyring::new(key(1, 8)), Rejected::WrongKey { from: NodeId(1), epoch: 1 }),
        (Keyring::new(key(2, 7)), Rejected::RetiredKey { from: NodeId(1), epoch: 1 }),
    ] {
        let mut other = Frames::new(local, ring);
        other.set_members(at(0), &BTreeSet::from([NodeId(1)]));
        assert_eq!(open(&mut other, &datagram), expected);
    }
    assert_eq!(open(&mut a, &datagram), Rejected::Reflected);
    assert_eq!(
        a.seal(NodeId(9), LinkId(0), Kind::Beat, b"", &mut Vec::new()),
        Err(SealError::NotMember { to: NodeId(9) })
    );
}

#[test]
fn keys_change_under_way_and_the_old_one_is_refused_afterwards() {
    let (mut a, mut b) = pair();
    let (switch, retire) = (Duration::from_secs(10), Duration::from_secs(60));
    let mut change = crate::KeyChange::new(at(0), Keyring::new(key(1, 7)), switch, retire);
    change.install(at(0), key(2, 9), switch, retire).unwrap();
    a.set_keys(change.ring().clone());
    assert!(pass(&mut a, &mut b, 1).is_ok(), "a still seals with the old key");
    b.set_keys(change.ring().clone());
    assert!(change.tick(at(10_000)));
    a.set_keys(change.ring().clone());
    assert!(pass(&mut a, &mut b, 10_000).is_ok(), "b holds both");
    assert!(pass(&mut b, &mut a, 10_000).is_ok(), "a holds both");
    let late = sealed(&mut b, 1, 0, b"late");
    assert!(change.tick(at(60_000)));
    a.set_keys(change.ring().clone());
    let refused = a.open(at(60_000), &mut late.clone()).unwrap_err();
    assert_eq!(refused, Rejected::RetiredKey { from: NodeId(2), epoch: 1 });
    b.set_keys(change.ring().clone());
    assert!(pass(&mut b, &mut a, 60_000).is_ok());
    assert!(pass(&mut a, &mut b, 60_000).is_ok());
}

/// A nonce under one key is used once: two frames with the same one give away both and let anybody forge a third.
#[test]
fn a_member_that_is_dropped_and_taken_up_again_gets_no_frame_under_a_nonce_of_before() {
    let (mut a, _) = pair();
    let others = |ids: &[u16]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    let mut nonces = BTreeSet::new();
    for round in 0..5 {
        for (to, link) in [(2, 0), (2, 7), (3, 0)] {
            for _ in 0..3 {
                let header = Header::decode(&sealed(&mut a, to, link, b"beat")).unwrap();
                assert!(nonces.insert((header.key, header.nonce())), "round {round}: {header:?}");
            }
        }
        a.set_members(at(round), &others(&[1, 3]));
        assert_eq!(
            a.seal(NodeId(2), LinkId(0), Kind::Beat, b"", &mut Vec::new()),
            Err(SealError::NotMember { to: NodeId(2) })
        );
        a.set_members(at(round), &others(&[1]));
        a.set_members(at(round), &others(&[1, 2, 3]));
    }
    assert_eq!(nonces.len(), 45);
}

#[test]
fn frames_of_before_are_refused_by_who_dropped_their_sender_and_took_it_up_again() {
    let (mut a, mut b) = pair();
    let recorded: Vec<_> = (0..20).map(|_| sealed(&mut a, 2, 0, b"beat")).collect();
    assert!(b.open(at(1), &mut recorded[0].clone()).is_ok());
    b.set_members(at(2), &BTreeSet::from([NodeId(2), NodeId(3)]));
    assert_eq!(b.open(at(3), &mut recorded[1].clone()), Err(Rejected::NotMember(NodeId(1))));
    b.set_members(at(4), &BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]));
    assert_eq!(b.open(at(5), &mut recorded[0].clone()), Err(Rejected::Replayed(NodeId(1))));
    assert!(b.open(at(5), &mut recorded[1].clone()).is_ok(), "not heard before");
    assert!(pass(&mut a, &mut b, 6).is_ok() && pass(&mut b, &mut a, 6).is_ok(), "at once");
}

#[test]
fn frames_recorded_before_a_restart_of_the_receiver_are_worth_nothing_after_it() {
    let (mut a, b) = pair();
    let recorded: Vec<_> = (0..20).map(|_| sealed(&mut a, 2, 0, b"beat")).collect();
    drop(b);
    let mut b = node(2, 21, 201);
    for frame in &recorded {
        assert_eq!(b.open(at(1), &mut frame.clone()), Err(Rejected::NotFresh(NodeId(1))));
    }
    acquaint(&mut a, &mut b, 2);
    for frame in &recorded {
        assert_eq!(b.open(at(3), &mut frame.clone()), Err(Rejected::Replayed(NodeId(1))));
    }
}

#[test]
fn a_restarted_sender_is_taken_up_within_two_beats_and_its_old_frames_are_refused() {
    let (mut a, mut b) = pair();
    let recorded = sealed(&mut a, 2, 0, b"beat");
    let mut a = node(1, 11, 101);
    let mut accepted = None;
    for beat in 0..5 {
        let now = 100 + beat * 15;
        drop(pass(&mut b, &mut a, now));
        if pass(&mut a, &mut b, now).is_ok() {
            accepted = accepted.or(Some(beat));
        }
    }
    assert!(accepted.unwrap() <= 1, "{accepted:?}");
    assert_eq!(b.peer_boot(NodeId(1)), Some(BootId(11)));
    assert_eq!(b.open(at(200), &mut recorded.clone()), Err(Rejected::StaleBoot(NodeId(1))));
}

#[test]
fn a_copied_state_directory_is_reported_and_disturbs_nothing() {
    let (mut a, mut b) = pair();
    let mut twin = node(1, 10, 999);
    assert_eq!(
        pass(&mut twin, &mut b, 5),
        Err(Rejected::DuplicateId { node: NodeId(1), accepted: BootId(10), other: BootId(10) })
    );
    assert!(pass(&mut a, &mut b, 5).is_ok());
}

#[test]
fn a_second_process_with_a_later_boot_id_is_reported_by_the_peers() {
    let (mut a, mut b) = pair();
    // It runs at another address, so it never hears b.
    let mut twin = node(1, 15, 999);
    let mut reports = BTreeSet::new();
    for millis in (0..5_000).step_by(15) {
        if let Err(Rejected::DuplicateId { node, accepted, other }) =
            pass(&mut twin, &mut b, millis)
        {
            reports.insert((node, accepted, other));
        }
        assert!(pass(&mut a, &mut b, millis + 7).is_ok(), "the real node goes on");
        assert!(pass(&mut b, &mut a, millis + 8).is_ok(), "the real node goes on");
    }
    assert_eq!(reports, BTreeSet::from([(NodeId(1), BootId(10), BootId(15))]));
}

#[test]
fn two_lives_that_alternate_are_reported_to_both_sides() {
    let (mut a, mut b) = pair();
    let mut later = node(1, 15, 999);
    let (mut at_peer, mut at_old) = (false, false);
    for millis in (0..6_000).step_by(15) {
        // The earlier one is paused for a while, so the later one is taken for a restart.
        if millis > 300 {
            let seen = pass(&mut a, &mut b, millis);
            at_peer |= matches!(seen, Err(Rejected::DuplicateId { node: NodeId(1), .. }));
            let seen = pass(&mut b, &mut a, millis);
            at_old |= matches!(seen, Err(Rejected::DuplicateId { node: NodeId(1), .. }));
        }
        drop(pass(&mut later, &mut b, millis));
        drop(pass(&mut b, &mut later, millis));
    }
    assert!(at_peer, "the peer reports two processes");
    assert!(at_old, "the process that is not accepted learns why");
    assert_eq!(b.peer_boot(NodeId(1)), Some(BootId(15)));
}

#[test]
fn a_node_with_our_own_id_is_reported() {
    let (mut a, _) = pair();
    let mut impostor = node(1, 15, 999);
    // It believes node 2 to be where we are.
    let mut frame = sealed(&mut impostor, 2, 0, b"beat");
    assert_eq!(
        a.open(at(1), &mut frame),
        Err(Rejected::DuplicateId { node: NodeId(1), accepted: BootId(15), other: BootId(10) })
    );
}

#[test]
fn invented_boot_ids_are_examined_at_most_a_thousand_times_a_second() {
    let (mut a, mut b) = pair();
    let datagram = sealed(&mut a, 2, 0, b"beat");
    let mut examined = 0;
    for packet in 0..20_000_u64 {
        let mut forged = datagram.clone();
        forged[17..25].copy_from_slice(&(1_000 + packet).to_be_bytes());
        let now = at(1_000 + packet / 20);
        if b.open(now, &mut forged) == Err(Rejected::Forged(NodeId(1))) {
            examined += 1;
        }
    }
    assert!((1_000..=1_064).contains(&examined), "{examined} in one second");
    assert!(b.open(at(3_000), &mut datagram.clone()).is_ok());
}

#[test]
fn reordering_duplication_and_loss_deliver_each_frame_at_most_once() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let (mut a, mut b) = pair();
        let mut flying: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut delivered = BTreeSet::new();
        for millis in 0..400_u64 {
            for link in 0..2 {
                let frame = sealed(&mut a, 2, link, &(millis * 2 + u64::from(link)).to_be_bytes());
                for _ in 0..=rng.below(2) {
                    if !rng.chance(1, 5) {
                        flying.push((millis + rng.below(100), frame.clone()));
                    }
                }
            }
            let (due, rest) = flying.into_iter().partition(|(when, _)| *when <= millis);
            flying = rest;
            for (_, mut frame) in due {
                if let Ok(opened) = b.open(at(millis), &mut frame) {
                    assert!(delivered.insert(opened.payload.to_vec()), "seed {seed}: twice");
                }
            }
        }
        assert!(delivered.len() > 500, "seed {seed}: {}", delivered.len());
    }
}

/// A fuzz target: whatever arrives, `open` says what it is and does not panic.
fn open_arbitrary(frames: &mut Frames, now: Instant, bytes: &[u8]) {
    let mut datagram = bytes.to_vec();
    if let Ok(opened) = frames.open(now, &mut datagram) {
        assert!(opened.payload.len() <= bytes.len() - HEADER - TAG);
    }
}

#[test]
fn mutated_and_random_datagrams_never_panic_and_are_never_accepted() {
    let mut rng = Rng::new(4);
    let (mut a, mut b) = pair();
    for round in 0..20_000_u64 {
        let mut bytes = match round % 3 {
            0 => (0..rng.below(200)).map(|_| rng.next_u64() as u8).collect(),
            _ => sealed(&mut a, 2, 0, b"a beat of some length"),
        };
        let original = bytes.clone();
        for _ in 0..=rng.below(4) {
            match rng.below(3) {
                0 if !bytes.is_empty() => {
                    let place = rng.below(bytes.len() as u64) as usize;
                    bytes[place] = rng.next_u64() as u8;
                }
                1 => bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize),
                _ => bytes.extend(std::iter::repeat_n(0, rng.below(64) as usize)),
            }
        }
        if bytes != original {
            assert!(b.open(at(round), &mut bytes.clone()).is_err());
        }
        open_arbitrary(&mut b, at(round), &bytes);
    }
    open_arbitrary(&mut b, at(0), &vec![b'h'; MAX_DATAGRAM + 1]);
}

/// Nodes of two builds must understand each other: these bytes may only change with the version.
#[test]
fn the_bytes_on_the_wire_stay_the_same() {
    let mut a = node(1, 10, 100);
    let hex: String =
        sealed(&mut a, 2, 3, b"beat").iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = concat!(
        "6876010100010002030000000",
        "15ff53063000000000000000a00000000000000640000000000000000",
        "0000000000000001",
        "e2bc0081",
        "6b02e024e0afad2c40e73e026772b5cd"
    );
    assert_eq!(hex, expected);
}
