//! Everything that reads bytes others have written, as plain functions: the corpus test feeds them, and
//! a fuzzer can.
//!
//! A decoder may refuse what it likes and must not panic; what it takes must come out of its encoder
//! such that it reads the same again. `corpus/NAME` holds real and hostile inputs of each.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a panic is what these functions exist to find"
)]

pub mod life;
pub mod records;

use std::collections::BTreeSet;

use haven_api::{Reply, Request, decode_line, encode_line};
use haven_base::Instant;
use haven_cib::crm::{self, Mode};
use haven_cib::{Cib, Resource};
use haven_controller::{Command, PeerMessage, Replicated};
use haven_heartbeat::Message;
use haven_host::store::Store;
use haven_ipfail_proto::frame::Frame;
use haven_messaging::express::{Class, Express, Input};
use haven_messaging::{ClusterKey, Frames, Keyring, Local};
use haven_node::config::NodeConfig;
use haven_node::rewrite_hand_over;
use haven_node::trust::{JoinRequest, JoinToken, KeyMessage};
use haven_types::{BootId, LinkId, NodeId};

/// Reads bytes. Panics when the decoder does, or when it contradicts its encoder.
pub type Decoder = fn(&[u8]);

/// Every decoder by the name of its folder.
pub const DECODERS: &[(&str, Decoder)] = &[
    ("beat", beat),
    ("channel", channel),
    ("cib", cib),
    ("command", command),
    ("config", config),
    ("consensus", life::live),
    ("control", control),
    ("crm", crm_lines),
    ("express", express),
    ("frame", frame),
    ("handover", handover),
    ("join", join),
    ("metadata", metadata),
    ("neighbour", neighbour),
    ("records", records::recover),
    ("segment", segment),
    ("snapshot", snapshot),
    ("token", token),
];

/// The frames of a node of the cluster that the frames of the corpus are of.
#[must_use]
pub fn frames(node: u16) -> Frames {
    let local = Local { node: NodeId(node), boot: BootId(u64::from(node)), salt: 7 };
    let mut frames = Frames::new(local, Keyring::new(ClusterKey { epoch: 1, secret: [7; 32] }));
    frames.set_members(Instant::from_nanos(1), &BTreeSet::from([NodeId(1), NodeId(2)]));
    frames
}

/// A datagram of a heartbeat link.
pub fn frame(bytes: &[u8]) {
    let mut datagram = bytes.to_vec();
    // Accepted or not: with the right key a damaged one is never accepted, which messaging tests.
    let _judged = frames(2).open(Instant::from_nanos(1_000), &mut datagram).is_ok();
}

/// A packet of small messages within a frame, taken by a node that has messages under way itself.
pub fn express(bytes: &[u8]) {
    let now = Instant::from_nanos(1_000_000);
    let mut machine = Express::new(BootId(2), vec![LinkId(0), LinkId(1)]);
    let (from, boot, link) = (NodeId(1), BootId(1), LinkId(0));
    machine.step(now, Input::Heard { from, boot });
    for length in [1, 3_000] {
        let (class, bytes) = (Class::Ordered(1), vec![7; length]);
        machine.step(now, Input::Send { to: from, class, bytes, expires: None });
    }
    for later in 0..2 {
        let now = now + std::time::Duration::from_millis(later * 500);
        machine.step(now, Input::Received { from, boot, link, bytes: bytes.to_vec() });
        machine.step(now, Input::Tick);
        assert!(machine.deadline().is_none_or(|due| due > now), "nothing spins");
    }
}

/// What a stranger says who wants to join.
pub fn join(bytes: &[u8]) {
    if let Ok(request) = JoinRequest::decode(bytes) {
        assert!(JoinRequest::decode(&request.encode()) == Ok(request));
    }
}

/// An ARP or neighbour discovery frame of anybody on a network with one of our addresses.
pub fn neighbour(bytes: &[u8]) {
    if let Some(frame) = Frame::decode(bytes) {
        let (_claim, _answer) = (frame.claim(), frame.answer());
        assert_eq!(Frame::decode(&frame.encode()), Some(frame));
    }
}

/// The heartbeat message within a frame.
pub fn beat(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

/// A frame of the TLS channel: one byte says whose, then the message.
pub fn channel(bytes: &[u8]) {
    let Some((kind, message)) = bytes.split_first() else { return };
    match kind {
        1 => {
            if let Some(message) = PeerMessage::decode(message) {
                assert!(PeerMessage::decode(&message.encode()).is_some());
            }
        }
        2 => {
            if let Some(message) = KeyMessage::decode(message) {
                assert_eq!(KeyMessage::decode(&message.encode()), Some(message));
            }
        }
        _ => {}
    }
}

/// An entry of the replicated log.
pub fn command(bytes: &[u8]) {
    if let Ok(command) = Command::decode(bytes) {
        assert!(Command::decode(&command.encode()).is_ok());
    }
}

/// A snapshot of the replicated state.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(state) = Replicated::decode(bytes) {
        assert!(Replicated::decode(&state.encode()).is_ok());
    }
}

/// A file of the store, alone in a directory under the name of the first segment.
pub fn segment(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let empty = Store::create(directory.path()).unwrap();
    drop(empty);
    let file = first_segment(directory.path());
    std::fs::write(&file, bytes).unwrap();
    if let Ok((store, contents)) = Store::open(directory.path()) {
        drop(store);
        let (_, again) = Store::open(directory.path()).unwrap();
        assert_eq!(again, contents, "opened twice");
    }
}

/// The first file of a store that holds entries.
#[must_use]
pub fn first_segment(directory: &std::path::Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.metadata().is_ok_and(|it| it.len() > 0))
        .collect();
    files.sort();
    files.into_iter().next().unwrap()
}

/// What one process leaves to the next. Its sum finds nearly all damage, so the rest is read under a sum that is right, too.
pub fn handover(bytes: &[u8]) {
    judge_hand_over(bytes);
    if let Some((magic, [_, _, _, _, summed @ ..])) = bytes.split_first_chunk::<8>() {
        let sum = crc32fast::hash(summed).to_le_bytes();
        judge_hand_over(&[magic.as_slice(), &sum, summed].concat());
    }
}

fn judge_hand_over(bytes: &[u8]) {
    if let Ok(written) = rewrite_hand_over(bytes) {
        assert_eq!(rewrite_hand_over(&written), Ok(written));
    }
}

/// Pacemaker's XML.
pub fn cib(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok((cib, _)) = Cib::from_xml(text) {
        let (again, _) = Cib::from_xml(&cib.to_xml()).unwrap();
        assert_eq!(resources(&again), resources(&cib));
    }
}

fn resources(cib: &Cib) -> Vec<&str> {
    cib.resources.iter().map(Resource::id).collect()
}

/// What an agent prints of itself.
pub fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match haven_children::metadata::read("ocf:some:agent", text) {
        Ok(metadata) => {
            let known = metadata.parameters.len();
            assert_eq!(metadata.description().params.len(), known);
            assert_eq!(metadata.facts().params.len(), known);
            assert!(metadata.restarting().is_none_or(|fixed| fixed.len() < known));
            assert!(metadata.cut.is_none_or(|cut| metadata.findings.contains(&cut)));
        }
        Err(error) => assert!(error.to_string().contains("ocf:some:agent"), "{error}"),
    }
}

/// Lines of the crm shell.
pub fn crm_lines(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(loaded) = crm::load(&Cib::default(), text, Mode::Update) {
        drop(crm::verify(&loaded.cib, &crm::Facts::default()));
        let shown = crm::show(&loaded.cib);
        let again = crm::load(&Cib::default(), &shown, Mode::Update);
        assert!(again.is_ok(), "what is shown cannot be loaded: {shown}");
    }
}

/// `haven.toml`.
pub fn config(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(findings) = NodeConfig::parse(text)
    {
        assert!(!findings.is_empty(), "refused without a reason");
    }
}

/// A line on the control socket, and an answer to one.
pub fn control(bytes: &[u8]) {
    if let Ok(request) = decode_line::<Request>(bytes) {
        assert_eq!(decode_line::<Request>(&encode_line(&request)).unwrap(), request);
    }
    if let Ok(reply) = decode_line::<Reply>(bytes) {
        assert!(decode_line::<Reply>(&encode_line(&reply)).is_ok());
    }
}

/// What an operator pastes to join.
pub fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(token) = text.parse::<JoinToken>()
    {
        assert!(token.text().parse::<JoinToken>().is_ok());
    }
}
