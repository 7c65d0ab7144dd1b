//! Inputs made by the encoders themselves, and hostile ones that no hand would type.

mod lives;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use haven_api::{Load, Request, RequestBody, encode_line};
use haven_base::{Instant, MacAddr, WallTime};
use haven_cib::{Cib, crm};
use haven_controller::{Authorship, Command, Member, PeerMessage, Replicated, Role};
use haven_fuzz_tests::{first_segment, frames};
use haven_heartbeat::{Config, Heartbeat, Input, MESSAGE_VERSION, Message, Output};
use haven_host::store::{Batch, Store};
use haven_ipfail_proto::frame::Frame;
use haven_messaging::{ClusterKey, Keyring, Kind};
use haven_node::trust::{JoinRequest, JoinToken, KeyMessage, Role as TrustRole};
use haven_types::{BootId, Epoch, GroupId, LinkId, NodeId, Term};

type Inputs = Vec<(String, Vec<u8>)>;

/// Of each decoder: file names and bytes.
pub(crate) fn inputs() -> Vec<(&'static str, Inputs)> {
    let lived = lives::lived();
    vec![
        ("beat", beats()),
        ("channel", channel()),
        ("command", commands()),
        ("consensus", lives::with_hostile(lived.lives)),
        ("control", control()),
        ("express", packets()),
        ("frame", datagrams()),
        ("handover", hand_overs()),
        ("join", requests()),
        ("neighbour", neighbours()),
        ("records", stores(lived.stores)),
        ("segment", segments()),
        ("snapshot", snapshots()),
        ("token", tokens()),
    ]
}

/// What two nodes send each other when one has a small message and one in three pieces, and does not know the other.
fn packets() -> Inputs {
    use haven_messaging::express::{Class, Express, Input, Output};
    let links = || vec![LinkId(0), LinkId(1)];
    let mut nodes = [Express::new(BootId(1), links()), Express::new(BootId(2), links())];
    let mut way: VecDeque<(usize, Vec<u8>)> = VecDeque::new();
    let mut made = Vec::new();
    let mut step =
        |way: &mut VecDeque<(usize, Vec<u8>)>, node: usize, millis: u64, input: Input| {
            let now = Instant::from_nanos(1_000_000 * (1 + millis));
            for output in nodes[node].step(now, input) {
                if let Output::Transmit { bytes, .. } = output {
                    way.push_back((1 - node, bytes));
                }
            }
        };
    for (class, length) in [(Class::Unordered, 9), (Class::Ordered(1), 3_000)] {
        let (to, bytes) = (NodeId(2), vec![5; length]);
        step(&mut way, 0, 0, Input::Send { to, class, bytes, expires: None });
    }
    for millis in 0..20 {
        while let Some((to, bytes)) = way.pop_front() {
            let node = u16::try_from(2 - to).unwrap();
            let (from, boot, link) = (NodeId(node), BootId(u64::from(node)), LinkId(0));
            if !made.contains(&bytes) {
                made.push(bytes.clone());
            }
            step(&mut way, to, millis, Input::Received { from, boot, link, bytes });
        }
        for node in [0, 1] {
            step(&mut way, node, millis, Input::Tick);
        }
    }
    made.into_iter().enumerate().map(|(n, bytes)| (format!("packet-{n}"), bytes)).collect()
}

fn requests() -> Inputs {
    let request = |role: TrustRole, links: Vec<(LinkId, SocketAddr)>| {
        let request = JoinRequest {
            secret: [7; 32],
            cluster: "demo".to_owned(),
            name: "n3".to_owned(),
            role,
            links,
            channel: "192.0.2.3:5406".parse().unwrap(),
            public_key: vec![4; 65],
            possession: vec![9; 71],
        };
        request.encode()
    };
    let one = (LinkId(0), "192.0.2.3:5405".parse().unwrap());
    let two = (LinkId(7), "[2001:db8::3]:5405".parse().unwrap());
    let mut newer = request(TrustRole::Full, vec![one]);
    newer[0] = 2;
    named(vec![
        ("full", request(TrustRole::Full, vec![one, two])),
        ("witness", request(TrustRole::Witness, vec![one])),
        ("falling-links", request(TrustRole::Full, vec![two, one])),
        ("newer", newer),
    ])
}

fn neighbours() -> Inputs {
    let mac = MacAddr([2, 0, 0, 0, 0, 7]);
    let (v4, v6) = ("192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap());
    named(vec![
        ("arp-request", Frame::announcement(v4, mac, 0, false).encode()),
        ("arp-reply", Frame::announcement(v4, mac, 1, false).encode()),
        ("arp-probe", Frame::probe("192.0.2.10".parse().unwrap(), mac).encode()),
        ("advertisement", Frame::announcement(v6, mac, 0, true).encode()),
    ])
}

fn numbered(name: &str, items: Vec<Vec<u8>>) -> Inputs {
    items.into_iter().enumerate().map(|(n, bytes)| (format!("{name}-{n}"), bytes)).collect()
}

/// What stores of members hold, and what none can: nothing comes after the last index and the last term.
fn stores(lived: Vec<Vec<u8>>) -> Inputs {
    use haven_consensus::{HardState, LogEntry, Payload, Recovered};
    use haven_types::{LogIndex, LogPosition};
    let written = |recovered: Recovered| {
        let batch = recovered.into_batch().to_records();
        let hard_state = batch.values.into_iter().next().map(|(_, bytes)| bytes);
        haven_fuzz_tests::records::write(&haven_consensus::RecoveredRecords {
            snapshot: batch.snapshot,
            entries: batch.entries,
            hard_state,
        })
    };
    let founding = || Recovered::founding([NodeId(1)], vec![1; 20]);
    let at = |index, term| LogPosition { index: LogIndex(index), term: Term(term) };
    let mut last_index = founding();
    last_index.snapshot.as_mut().unwrap().position = at(u64::MAX, 1);
    let mut last_entry = last_index.clone();
    let payload = Payload::Empty;
    last_entry.entries.push(LogEntry { position: at(u64::MAX, 1), payload });
    let mut last_term = founding();
    last_term.hard_state = HardState { term: Term(u64::MAX), ..last_term.hard_state };
    let mut inputs = numbered("store", lived);
    inputs.extend(named(vec![
        ("last-index", written(last_index)),
        ("last-entry", written(last_entry)),
        ("last-term", written(last_term)),
    ]));
    inputs
}

fn named(items: Vec<(&str, Vec<u8>)>) -> Inputs {
    items.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// What two nodes say to each other in a fifth of a second, one of them with a claim.
fn messages() -> Vec<Message> {
    let member = haven_heartbeat::Member {
        role: haven_heartbeat::Role::Full,
        links: [LinkId(0), LinkId(1)].into(),
    };
    let node = |own: u16, peer: u16| {
        let mut config = Config::new(NodeId(own), BootId(u64::from(own)));
        config.links = [LinkId(0), LinkId(1)].into();
        config.members = BTreeMap::from([(NodeId(peer), member.clone())]);
        Heartbeat::new(config, Instant::from_nanos(1))
    };
    let mut nodes = [node(1, 2), node(2, 1)];
    let mut said = Vec::new();
    for millis in 0..200 {
        let now = Instant::from_nanos(1 + millis * 1_000_000);
        for index in [0, 1] {
            let mut inputs = vec![Input::Tick];
            if millis == 50 {
                inputs.push(Input::Claim { group: GroupId(1), epoch: Epoch(1) });
            }
            for input in inputs {
                for output in nodes[index].step(now, input) {
                    let Output::Send { link, message, .. } = output else { continue };
                    said.push(message.clone());
                    let (from, boot) = (NodeId(index as u16 + 1), BootId(index as u64 + 1));
                    let received = Input::Received { from, boot, link, message };
                    // What the other answers at once is said in its own turn.
                    drop(nodes[1 - index].step(now, received));
                }
            }
        }
    }
    said
}

fn beats() -> Inputs {
    let said = messages();
    assert!(said.len() > 20, "{} messages", said.len());
    let mut inputs: Inputs = said
        .iter()
        .step_by(said.len() / 8)
        .enumerate()
        .map(|(n, message)| (format!("said-{n}"), message.encode()))
        .collect();
    inputs.extend(named(vec![
        ("endless-counts", [&[MESSAGE_VERSION], [0xff; 40].as_slice()].concat()),
        ("other-version", vec![MESSAGE_VERSION + 1; 30]),
    ]));
    inputs
}

fn datagrams() -> Inputs {
    let mut sender = frames(1);
    let mut inputs = Vec::new();
    for (n, message) in messages().iter().take(3).enumerate() {
        let mut datagram = Vec::new();
        let link = LinkId(0);
        sender.seal(NodeId(2), link, Kind::Beat, &message.encode(), &mut datagram).unwrap();
        inputs.push((format!("beat-{n}"), datagram));
    }
    let mut express = Vec::new();
    sender.seal(NodeId(2), LinkId(7), Kind::Express, &[9; 300], &mut express).unwrap();
    let other = frames_of_another_cluster();
    inputs.extend(named(vec![
        ("express", express),
        ("other-cluster", other),
        ("dns-query", b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www".to_vec()),
        ("ones", vec![0xff; 1_400]),
    ]));
    inputs
}

fn frames_of_another_cluster() -> Vec<u8> {
    use haven_messaging::{Frames, Local};
    let local = Local { node: NodeId(1), boot: BootId(3), salt: 1 };
    let mut other = Frames::new(local, Keyring::new(ClusterKey { epoch: 9, secret: [1; 32] }));
    other.set_members(Instant::from_nanos(1), &[NodeId(1), NodeId(2)].into());
    let mut datagram = Vec::new();
    other.seal(NodeId(2), LinkId(0), Kind::Beat, &[1, 2, 3], &mut datagram).unwrap();
    datagram
}

fn channel() -> Inputs {
    let peer = |message: PeerMessage| [&[1], message.encode().as_slice()].concat();
    let key = |message: KeyMessage| [&[2], message.encode().as_slice()].concat();
    let ring = Keyring::new(ClusterKey { epoch: 3, secret: [5; 32] });
    let newest = ring.sealing().notice();
    let seen = haven_quorum::History { all_seen: true, highest_votes: 3, ..Default::default() };
    let request = RequestBody::ResourceMove {
        resource: "vip".to_owned(),
        node: None,
        lifetime: None,
        wait: true,
        timeout_ms: Some(5),
    };
    named(vec![
        ("status-request", peer(PeerMessage::StatusRequest { term: Term(7) })),
        ("forward", peer(PeerMessage::forward(3, &request, "uid 0"))),
        ("quorum", peer(PeerMessage::Quorum(Box::new(seen)))),
        ("consensus", peer(PeerMessage::Consensus(vec![3; 200]))),
        ("propose", peer(PeerMessage::Propose(Box::new(configure())))),
        ("key-wanted", key(KeyMessage::Wanted(newest))),
        ("key-ring", key(KeyMessage::Ring(ring))),
        ("key-holding", key(KeyMessage::Holding { newest, sealing: 3, changing: true })),
        ("unknown-kind", vec![9, 1, 2, 3]),
        ("endless-length", [&[1, 1, 0], [0xff; 20].as_slice()].concat()),
    ])
}

const LINES: &str = "# the address\nprimitive vip ocf:haven:ip params ip=192.0.2.10 nic=eth0 \
                     op monitor interval=10s\nlocation l vip 100: n1\nproperty wait_for_all=yes\n";

fn configure() -> Command {
    let cib = crm::load(&Cib::default(), LINES, crm::Mode::Update).unwrap().cib;
    Command::Configure {
        base: cib.version,
        changes: crm::changes(&Cib::default(), &cib),
        by: Authorship {
            author: "root".to_owned(),
            node: "n1".to_owned(),
            message: "load 2 objects".to_owned(),
            at: WallTime::from_seconds(1_700_000_000),
        },
        cib: Box::new(cib),
    }
}

fn member(id: u16, role: Role) -> Member {
    Member {
        id: NodeId(id),
        name: format!("n{id}"),
        role,
        links: vec![(LinkId(0), "10.0.0.1:5405".parse().unwrap())],
        channel: "[fd00::1]:5406".parse().unwrap(),
        key: [u8::try_from(id).unwrap(); 32],
    }
}

fn commands() -> Inputs {
    let answer = (NodeId(1), 7);
    let notice = ClusterKey { epoch: 2, secret: [2; 32] }.notice();
    let grant =
        Command::Grant { group: "vip".to_owned(), epoch: Epoch(3), holder: Some(NodeId(2)) };
    let expires = WallTime::from_seconds(1_700_000_000);
    let member = member(2, Role::Witness);
    named(vec![
        ("configure", configure().encode()),
        ("grant", grant.encode()),
        ("add-member", Command::AddMember { member, token: [3; 32], answer }.encode()),
        ("remove-member", Command::RemoveMember { node: NodeId(3) }.encode()),
        ("mint-token", Command::MintToken { token: [4; 32], expires, answer }.encode()),
        ("rotate-key", Command::RotateKey { notice, answer }.encode()),
        ("drop-void-tokens", Command::DropVoidTokens { now: expires }.encode()),
        ("newer-format", vec![2, 0, 0]),
        ("endless-length", [&[1, 0], [0xff; 30].as_slice()].concat()),
    ])
}

fn snapshots() -> Inputs {
    let mut state = Replicated::founded(member(1, Role::Full), Cib::default());
    let founded = state.encode();
    state.apply(configure());
    state.apply(Command::RotateKey {
        notice: ClusterKey { epoch: 2, secret: [2; 32] }.notice(),
        answer: (NodeId(1), 1),
    });
    named(vec![
        ("founded", founded),
        ("configured", state.encode()),
        ("newer-format", vec![9; 40]),
        ("endless-length", [&[1], [0xff; 60].as_slice()].concat()),
    ])
}

fn segments() -> Inputs {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::create(directory.path()).unwrap();
    let entries = (1..=5).map(|n| (n, vec![n as u8; 40])).collect();
    let values = vec![("term".to_owned(), Some(vec![1, 2, 3]))];
    store.append(&Batch { entries, values, ..Batch::default() }).unwrap();
    let few = Batch { entries: vec![(4, vec![9; 30])], ..Batch::default() };
    store.append(&few).unwrap();
    let snapshot = Some((4, vec![8; 100]));
    store.append(&Batch { snapshot, compact_before: Some(3), ..Batch::default() }).unwrap();
    drop(store);
    let whole = std::fs::read(first_segment(directory.path())).unwrap();
    // The rest of a segment is space that was reserved.
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let used = used.next_multiple_of(512).min(whole.len());
    let mut holed = whole[..used].to_vec();
    let middle = used / 2;
    holed[middle - 32..middle].fill(0);
    named(vec![
        ("written", whole[..used].to_vec()),
        ("torn", whole[..used * 2 / 3].to_vec()),
        ("holed", holed),
        ("zeros", vec![0; 1_024]),
        ("foreign", b"SQLite format 3\0".repeat(40)),
    ])
}

/// What an owner left, as the node's own test keeps it, and what none leaves.
fn hand_overs() -> Inputs {
    let left = include_bytes!("../../../golden/handover/format-2").to_vec();
    assert_eq!(haven_node::rewrite_hand_over(&left).as_ref(), Ok(&left));
    let sealed = |format: u8, content: &[u8]| {
        let summed = [&[format, 0], content].concat();
        let sum = crc32fast::hash(&summed).to_le_bytes();
        [&left[..8], &sum, &summed].concat()
    };
    let (content, twice) = (&left[14..], [&left[14..], &left[14..]].concat());
    named(vec![
        ("other-format", sealed(1, content)),
        ("endless-counts", sealed(2, &[0xff; 60])),
        ("twice", sealed(2, &twice)),
        ("left", left.clone()),
    ])
}

fn control() -> Inputs {
    let line = |body| encode_line(&Request::new(7, body));
    let load = RequestBody::ConfigureLoad(Load {
        text: LINES.to_owned(),
        message: Some("the address".to_owned()),
        ..Load::default()
    });
    let nested = [b"{\"version\":1,\"id\":1,\"body\":".as_slice(), &[b'['; 2_000]].concat();
    named(vec![
        ("status", line(RequestBody::Status)),
        ("load", line(load)),
        ("watch", line(RequestBody::Watch { after: Some(3), interval_ms: None })),
        ("rotate", line(RequestBody::KeyRotate)),
        ("nested", nested),
        ("numbers", b"{\"version\":1e999,\"id\":-1,\"body\":{\"do\":\"status\"}}\n".to_vec()),
        ("twice", b"{\"version\":1,\"id\":1,\"id\":2,\"body\":{\"do\":\"status\"}}\n".to_vec()),
        ("misspelt", b"{\"version\":1,\"id\":1,\"body\":{\"do\":\"status\",\"x\":1}}".to_vec()),
        ("reply", b"{\"id\":1,\"ok\":{\"key-rotated\":{\"generation\":2}}}\n".to_vec()),
    ])
}

fn tokens() -> Inputs {
    let now = WallTime::from_seconds(1_700_000_000);
    let token = JoinToken::mint(now, [6; 32]).unwrap().text().into_bytes();
    let shouted = token.to_ascii_uppercase();
    named(vec![
        ("minted", token.clone()),
        ("shouted", shouted),
        ("wrapped", [token[..20].to_vec(), b"\n  ".to_vec(), token[20..].to_vec()].concat()),
        ("letters", "ключ".repeat(20).into_bytes()),
    ])
}
