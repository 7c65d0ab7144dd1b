//! Joins over TLS on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use haven_base::{Instant, Rng, WallTime};
use haven_host::identity::read_secret;
use haven_host::socket::channel::{Channel, ChannelConfig};
use haven_host::socket::tls::TlsIdentity;
use haven_messaging::{ClusterKey, Keyring};
use haven_types::{LinkId, NodeId};
use tokio::sync::{mpsc, watch};

use super::admission::{Admission, AdmissionRequest, Admitted, Refused};
use super::message::{Contact, JoinReply, JoinRequest, Role, Welcome};
use super::{
    Candidate, Identity, IdentityError, InitError, JoinError, JoinServer, JoinToken, KeyMessage,
    TokenError, check_name, initialise, join,
};

const NOW: WallTime = WallTime::from_seconds(1_790_000_000);

fn now() -> WallTime {
    // Certificates are checked against the host's clock.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime::from_seconds(since.as_secs() as i64)
}

/// A cluster's memory of tokens and members, as the replicated log would keep it.
#[derive(Default)]
struct Registry {
    tokens: BTreeMap<[u8; 32], Option<[u8; 32]>>,
    members: Vec<Contact>,
    asked: Vec<AdmissionRequest>,
}

#[derive(Clone, Default)]
struct Registrar(Arc<Mutex<Registry>>);

impl Admission for Registrar {
    async fn admit(&self, request: AdmissionRequest) -> Result<Admitted, Refused> {
        let mut registry = self.0.lock().unwrap();
        registry.asked.push(request.clone());
        match registry.tokens.get(&request.token) {
            None => return Err(Refused::UnknownToken),
            Some(Some(key)) if *key != request.key => return Err(Refused::UsedToken),
            Some(_) => {}
        }
        let known = registry.members.iter().find(|member| member.name == request.name).cloned();
        if let Some(taken) = &known
            && registry.tokens[&request.token].is_none()
        {
            return Err(Refused::NameTaken { name: request.name, by: taken.id });
        }
        let id = known.map_or(NodeId(registry.members.len() as u16 + 1), |member| member.id);
        registry.tokens.insert(request.token, Some(request.key));
        registry.members.retain(|member| member.id != id);
        registry.members.push(Contact {
            id,
            name: request.name,
            role: request.role,
            links: request.links,
            channel: request.channel,
            key: request.key,
        });
        Ok(Admitted { node: id, members: registry.members.clone() })
    }
}

struct Member {
    _channel: Channel,
    address: SocketAddr,
    registrar: Registrar,
    identity: Arc<Identity>,
    _keys: watch::Sender<Keyring>,
}

impl Member {
    async fn start(identity: Identity, keys: Keyring, registrar: Registrar) -> Self {
        let identity = Arc::new(identity);
        let (joins, strangers) = mpsc::channel(4);
        let config = ChannelConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            identity: identity.tls(),
            boot: 1,
            joins: Some(joins),
        };
        let (channel, events) = Channel::start(config).unwrap();
        // Nobody reads events here.
        drop(events);
        let (sender, keys) = watch::channel(keys);
        let server = JoinServer::new(Arc::clone(&identity), keys, registrar.clone());
        tokio::spawn(server.run(strangers, || (Instant::from_nanos(1), now())));
        let address = loop {
            if let Ok(address) = channel.listening() {
                break address;
            }
            tokio::task::yield_now().await;
        };
        Self { _channel: channel, address, registrar, identity, _keys: sender }
    }

    async fn first(state: &Path) -> Self {
        let identity = initialise(state, "demo", "n1", now()).unwrap();
        let keys = identity.keys.clone();
        let member = Self::start(identity, keys, Registrar::default()).await;
        member.registrar.0.lock().unwrap().members.push(Contact {
            id: NodeId(1),
            name: "n1".to_owned(),
            role: Role::Full,
            links: vec![],
            channel: member.address,
            key: [1; 32],
        });
        member
    }

    fn mint(&self) -> JoinToken {
        let token = JoinToken::mint(now(), self.identity.authority_fingerprint()).unwrap();
        self.registrar.0.lock().unwrap().tokens.insert(token.record().token, None);
        token
    }

    fn asked(&self) -> usize {
        self.registrar.0.lock().unwrap().asked.len()
    }
}

fn candidate(name: &str) -> Candidate {
    Candidate {
        cluster: "demo".to_owned(),
        name: name.to_owned(),
        role: Role::Full,
        links: vec![(LinkId(0), "10.77.0.2:5405".parse().unwrap())],
        channel: "10.77.0.2:5406".parse().unwrap(),
    }
}

async fn try_join(
    state: &Path,
    member: &Member,
    token: &JoinToken,
    candidate: &Candidate,
) -> Result<Identity, JoinError> {
    join(state, &[member.address], token, candidate, now()).await.map(|(identity, _)| identity)
}

#[tokio::test]
async fn a_node_becomes_a_member_and_keeps_an_identity_only_its_owner_can_read() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let member = Member::first(first.path()).await;
    let token = member.mint();
    let dead: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let (joined, members) =
        join(second.path(), &[dead, member.address], &token, &candidate("n2"), now())
            .await
            .unwrap();
    assert_eq!((joined.node, joined.name.as_str()), (NodeId(2), "n2"));
    assert_eq!(joined.cluster, member.identity.cluster);
    assert_eq!(joined.keys, member.identity.keys);
    assert_eq!(joined.authority_fingerprint(), member.identity.authority_fingerprint());
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2"]);

    let loaded = Identity::load(second.path()).unwrap();
    assert_eq!(loaded.certificate, joined.certificate);
    assert_eq!(loaded.keys, joined.keys);
    for entry in std::fs::read_dir(second.path().join("identity")).unwrap() {
        let path = entry.unwrap().path();
        assert!(read_secret(&path).is_ok(), "{} is for its owner only", path.display());
    }
    assert!(!second.path().join("joining.key").exists());
    // It admits others in its turn.
    let third = tempfile::tempdir().unwrap();
    let keys = loaded.keys.clone();
    let other = Member::start(loaded, keys, member.registrar.clone()).await;
    let token = other.mint();
    assert_eq!(
        try_join(third.path(), &other, &token, &candidate("n3")).await.unwrap().node,
        NodeId(3)
    );
}

#[tokio::test]
async fn a_witness_gets_no_authority_key_and_admits_nobody() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let member = Member::first(first.path()).await;
    let witness = Candidate { role: Role::Witness, ..candidate("w") };
    let joined = try_join(second.path(), &member, &member.mint(), &witness).await.unwrap();
    assert_eq!((joined.role, joined.authority_key.is_none()), (Role::Witness, true));
    let keys = joined.keys.clone();
    let server = Member::start(joined, keys, member.registrar.clone()).await;
    let third = tempfile::tempdir().unwrap();
    let refused = try_join(third.path(), &server, &server.mint(), &candidate("n3")).await;
    assert!(matches!(refused, Err(JoinError::Refused(Refused::AskAnother))), "{refused:?}");
}

#[tokio::test]
async fn a_token_serves_one_node_once_and_a_lost_answer_is_repeated() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let member = Member::first(first.path()).await;
    let token = member.mint();
    let joined = try_join(second.path(), &member, &token, &candidate("n2")).await.unwrap();
    let third = tempfile::tempdir().unwrap();
    let refused = try_join(third.path(), &member, &token, &candidate("n3")).await;
    assert!(matches!(refused, Err(JoinError::Refused(Refused::UsedToken))), "{refused:?}");
    assert!(!third.path().join("identity").exists());

    // The same node again, as if the answer had been lost on the way.
    std::fs::remove_dir_all(second.path().join("identity")).unwrap();
    haven_host::identity::write_secret(&second.path().join("joining.key"), &joined.key).unwrap();
    let again = try_join(second.path(), &member, &token, &candidate("n2")).await.unwrap();
    assert_eq!(again.node, joined.node);
}

#[tokio::test]
async fn refusals_reach_the_new_node_in_words_and_leave_nothing_behind() {
    let first = tempfile::tempdir().unwrap();
    let member = Member::first(first.path()).await;
    let token = member.mint();
    let other = Candidate { cluster: "prod".to_owned(), ..candidate("n2") };
    let unknown = JoinToken::mint(now(), token.authority).unwrap();
    for (token, candidate, part) in [
        (&token, &candidate("n1"), "node 1 has the name n1 already"),
        (&token, &other, "configuration says [cluster] name = \"prod\""),
        (&unknown, &candidate("n2"), "knows no such token"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let refused = try_join(state.path(), &member, token, candidate).await.unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
        assert!(!state.path().join("identity").exists());
    }
}

#[tokio::test]
async fn guesses_at_tokens_are_slowed_down() {
    let first = tempfile::tempdir().unwrap();
    let member = Member::first(first.path()).await;
    let state = tempfile::tempdir().unwrap();
    let mut slowed = 0;
    for _ in 0..8 {
        let guess = JoinToken::mint(now(), member.identity.authority_fingerprint()).unwrap();
        match try_join(state.path(), &member, &guess, &candidate("n2")).await {
            Err(JoinError::Refused(Refused::UnknownToken)) => {}
            Err(JoinError::Refused(Refused::TooManyAttempts { .. })) => slowed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((slowed, member.asked()), (3, 5), "after five the cluster is not even asked");
}

#[tokio::test]
async fn nothing_is_said_to_a_member_of_another_cluster() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, foreign) = (Member::first(first.path()).await, Member::first(second.path()).await);
    let state = tempfile::tempdir().unwrap();
    let token = ours.mint();
    let refused = try_join(state.path(), &foreign, &token, &candidate("n2")).await.unwrap_err();
    assert!(matches!(refused, JoinError::Unreachable { .. }));
    assert!(refused.to_string().contains("belongs to another cluster"), "{refused}");
    assert_eq!(foreign.asked(), 0, "the secret was not sent");
    // Also not when it shows our authority's certificate, which is public, without having its key.
    let pretender = Identity {
        authority: ours.identity.authority.clone(),
        ..Identity::load(second.path()).unwrap()
    };
    let keys = pretender.keys.clone();
    let pretender = Member::start(pretender, keys, Registrar::default()).await;
    let refused = try_join(state.path(), &pretender, &token, &candidate("n2")).await.unwrap_err();
    assert!(matches!(refused, JoinError::Unreachable { .. }), "{refused}");
    assert_eq!(pretender.asked(), 0, "the secret was not sent");
}

#[tokio::test]
async fn an_expired_token_is_refused_before_anything_is_sent() {
    let first = tempfile::tempdir().unwrap();
    let member = Member::first(first.path()).await;
    let state = tempfile::tempdir().unwrap();
    let yesterday = WallTime::from_seconds(now().seconds - 90_000);
    let token = JoinToken::mint(yesterday, member.identity.authority_fingerprint()).unwrap();
    let refused = try_join(state.path(), &member, &token, &candidate("n2")).await;
    assert!(matches!(refused, Err(JoinError::Token(TokenError::Expired { .. }))), "{refused:?}");
    assert_eq!(member.asked(), 0);
}

#[test]
fn who_was_removed_starts_no_more_and_may_join_anew() {
    let state = tempfile::tempdir().unwrap();
    let first = initialise(state.path(), "demo", "n1", NOW).unwrap();
    Identity::retire(state.path()).unwrap();
    let refused = Identity::load(state.path()).unwrap_err();
    assert!(refused.to_string().contains("was removed from its cluster"), "{refused}");
    assert!(refused.to_string().contains("with a new token"), "{refused}");
    // Keys that were on their way to the disk make no half identity.
    assert!(Identity::save_keys(state.path(), &first.keys).is_err());
    assert!(matches!(Identity::load(state.path()), Err(IdentityError::Removed { .. })));
    initialise(state.path(), "demo", "n1", NOW).unwrap();
    Identity::retire(state.path()).unwrap();
    assert!(matches!(Identity::load(state.path()), Err(IdentityError::Removed { .. })));
}

#[test]
fn a_second_init_or_join_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let first = initialise(state.path(), "demo", "n1", NOW).unwrap();
    let again = initialise(state.path(), "other", "n9", NOW).unwrap_err();
    assert!(matches!(again, InitError::Identity(IdentityError::Exists { .. })));
    assert!(
        again.to_string().contains("belongs to cluster demo already, as n1 (node 1)"),
        "{again}"
    );
    assert_eq!(Identity::load(state.path()).unwrap().certificate, first.certificate);
    // What an interrupted attempt left is no obstacle.
    let fresh = tempfile::tempdir().unwrap();
    std::fs::create_dir(fresh.path().join("identity.new")).unwrap();
    std::fs::write(fresh.path().join("identity.new/node.key"), b"half").unwrap();
    assert!(matches!(Identity::load(fresh.path()), Err(IdentityError::Missing { .. })));
    initialise(fresh.path(), "demo", "n1", NOW).unwrap();
    assert!(!fresh.path().join("identity.new").exists());
}

#[test]
fn damaged_identity_files_are_named() {
    let state = tempfile::tempdir().unwrap();
    initialise(state.path(), "demo", "n1", NOW).unwrap();
    let keys = state.path().join("identity/keys.json");
    for (content, part) in
        [("{", "EOF"), (r#"{"sealing":1,"keys":[]}"#, "contradict"), ("[]", "keys.json")]
    {
        haven_host::identity::write_secret(&keys, content.as_bytes()).unwrap();
        let error = Identity::load(state.path()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("keys.json"), "{error}");
    }
    let ring = Keyring::new(ClusterKey { epoch: 1, secret: [1; 32] });
    Identity::save_keys(state.path(), &ring).unwrap();
    assert_eq!(Identity::load(state.path()).unwrap().keys, ring);
}

#[test]
fn names_must_fit_a_certificate() {
    for good in ["n1", "node-7", "db_2", "N1", "db.rack2.example"] {
        assert!(check_name(good).is_ok(), "{good}");
    }
    let long = "x".repeat(64);
    for bad in ["", "-a", "a-", ".a", "a.", "a b", "10.0.0.1", "ä", "a..b", &long] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn key_messages_read_back() {
    let key = ClusterKey { epoch: 3, secret: [3; 32] };
    for message in [KeyMessage::Wanted(key.notice()), KeyMessage::Newest, KeyMessage::Key(key)] {
        assert_eq!(KeyMessage::decode(&message.encode()), Some(message));
    }
    assert_eq!(KeyMessage::decode(b"\x01\xff\xff"), None);
}

fn request() -> JoinRequest {
    JoinRequest {
        secret: [1; 32],
        cluster: "demo".to_owned(),
        name: "n2".to_owned(),
        role: Role::Full,
        links: vec![
            (LinkId(0), "10.77.0.2:5405".parse().unwrap()),
            (LinkId(1), "[fd00::2]:5405".parse().unwrap()),
        ],
        channel: "10.77.0.2:5406".parse().unwrap(),
        public_key: vec![4; 65],
        possession: vec![5; 71],
    }
}

fn reply() -> JoinReply {
    JoinReply::Welcome(Box::new(Welcome {
        cluster: super::Cluster { name: "demo".to_owned(), id: "00".repeat(16) },
        node: NodeId(2),
        certificate: vec![1; 300],
        authority: vec![2; 300],
        authority_key: None,
        keys: Keyring::new(ClusterKey { epoch: 1, secret: [9; 32] }),
        members: vec![],
    }))
}

#[test]
fn join_messages_read_back_and_others_are_refused() {
    assert!(JoinRequest::decode(&request().encode()).is_ok_and(|read| read == request()));
    assert!(JoinReply::decode(&reply().encode()).is_ok_and(|read| read == reply()));
    let refused = JoinReply::Refused(Refused::UsedToken);
    assert!(JoinReply::decode(&refused.encode()).is_ok_and(|read| read == refused));
    let mut newer = request().encode();
    newer[0] = 2;
    let error = JoinRequest::decode(&newer).err().unwrap().to_string();
    assert!(error.contains("version 2"), "{error}");
    let mut longer = request().encode();
    longer.push(0);
    assert!(JoinRequest::decode(&longer).is_err());
    for links in [vec![], vec![request().links[1], request().links[0]]] {
        assert!(JoinRequest::decode(&JoinRequest { links, ..request() }.encode()).is_err());
    }
    let far = vec![(LinkId(8), request().channel)];
    assert!(JoinRequest::decode(&JoinRequest { links: far, ..request() }.encode()).is_err());
}

/// Nodes of two builds must understand each other: these bytes may only change with the version.
#[test]
fn the_bytes_of_a_join_stay_the_same() {
    let short = |bytes: &[u8]| -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let used = JoinReply::Refused(Refused::UsedToken);
    let key = KeyMessage::Key(ClusterKey { epoch: 3, secret: [3; 32] });
    let got = [&request().encode(), &reply().encode(), &used.encode(), &key.encode()]
        .map(|bytes| (bytes.len(), short(bytes)));
    let got: Vec<String> =
        got.iter().map(|(length, digest)| format!("{length} {digest}")).collect();
    assert_eq!(
        got,
        [
            "216 268e40154236859c",
            "682 05287c8262123121",
            "3 5e98aaa886032724",
            "35 6883d4420ea5c5cd"
        ]
    );
}

#[test]
fn random_and_mutated_join_messages_never_panic() {
    let mut rng = Rng::new(11);
    let corpus = [request().encode(), reply().encode(), vec![1], vec![]];
    for _ in 0..20_000 {
        let mut bytes = corpus[rng.below(4) as usize].clone();
        for _ in 0..rng.below(8) {
            let place = rng.below(bytes.len() as u64 + 1) as usize;
            match rng.below(3) {
                0 if place < bytes.len() => bytes[place] = rng.next_u64() as u8,
                1 => bytes.truncate(place),
                _ => bytes.insert(place, rng.next_u64() as u8),
            }
        }
        drop(JoinRequest::decode(&bytes));
        drop(JoinReply::decode(&bytes));
        drop(KeyMessage::decode(&bytes));
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let state = tempfile::tempdir().unwrap();
    let identity = initialise(state.path(), "demo", "n1", NOW).unwrap();
    let tls: TlsIdentity = identity.tls();
    for shown in [format!("{identity:?}"), format!("{tls:?}"), format!("{:?}", identity.keys)] {
        assert!(shown.len() < 250, "{shown}");
    }
}
