//! Channels on loopback.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;
use crate::socket::tls::{explain, fingerprint, key_fingerprint};

const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate authority for tests.
pub(in crate::socket) struct TestAuthority {
    params: CertificateParams,
    key: KeyPair,
    certificate: Vec<u8>,
}

impl TestAuthority {
    pub(in crate::socket) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, certificate }
    }

    pub(in crate::socket) fn identity(&self, name: &str) -> TlsIdentity {
        self.identity_until(name, 2099)
    }

    fn identity_until(&self, name: &str, year: i32) -> TlsIdentity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        TlsIdentity {
            certificate: certificate.der().to_vec(),
            key: key.serialize_der(),
            authority: self.certificate.clone(),
        }
    }
}

pub(in crate::socket) struct Node {
    name: String,
    pub(in crate::socket) channel: Channel,
    events: Receiver<ChannelEvent>,
    pub(in crate::socket) address: SocketAddr,
    key: [u8; 32],
}

impl Node {
    pub(in crate::socket) async fn start(
        name: &str,
        boot: u64,
        identity: TlsIdentity,
        listen: &str,
    ) -> Self {
        let key = key_fingerprint(&identity.certificate).unwrap();
        let listen = listen.parse().unwrap();
        let config = ChannelConfig { listen, identity, boot, joins: None };
        let (channel, events) = Channel::start(config).unwrap();
        let address = timeout(PATIENCE, async {
            loop {
                match channel.listening() {
                    Ok(address) => return address,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let address = address.await.unwrap();
        Self { name: name.to_owned(), channel, events, address, key }
    }

    fn as_peer(&self) -> ChannelPeer {
        ChannelPeer { name: self.name.clone(), address: self.address, key: Some(self.key) }
    }

    pub(in crate::socket) async fn event(&mut self) -> ChannelEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event within 20 s").unwrap()
    }

    /// The next event that is no refusal or the other way round.
    pub(in crate::socket) async fn event_like(
        &mut self,
        wanted: impl Fn(&ChannelEvent) -> bool,
    ) -> ChannelEvent {
        loop {
            let event = self.event().await;
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn connected_to(&mut self, peer: &str) {
        let expected = ChannelEvent::Connected { peer: peer.to_owned() };
        self.event_like(|event| *event == expected).await;
        timeout(PATIENCE, async {
            while !self.channel.status()[peer].connected {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}

pub(in crate::socket) fn introduce(a: &Node, b: &Node) {
    a.channel.set_peers(vec![b.as_peer()]);
    b.channel.set_peers(vec![a.as_peer()]);
}

/// Two connected members, `a` and `b`.
pub(in crate::socket) async fn couple(a_listens: &str, b_listens: &str) -> (Node, Node) {
    let authority = TestAuthority::new("test");
    let mut a = Node::start("a", 10, authority.identity("a"), a_listens).await;
    let mut b = Node::start("b", 20, authority.identity("b"), b_listens).await;
    introduce(&a, &b);
    a.connected_to("b").await;
    b.connected_to("a").await;
    (a, b)
}

fn is_frame(event: &ChannelEvent) -> bool {
    matches!(event, ChannelEvent::Frame { .. })
}

fn is_refused(event: &ChannelEvent) -> bool {
    matches!(event, ChannelEvent::Refused { .. })
}

/// Waits until the reason of the last failure contains this.
async fn fails_with(node: &Node, peer: &str, part: &str) {
    let waiting = timeout(PATIENCE, async {
        while !node.channel.status()[peer].last_error.contains(part) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let last = || node.channel.status()[peer].last_error.clone();
    assert!(waiting.await.is_ok(), "expected {part:?}, the last failure was {:?}", last());
}

#[tokio::test]
async fn frames_cross_in_both_directions_in_order_with_the_senders_boot_id() {
    let (mut a, mut b) = couple("127.0.0.1:0", "127.0.0.1:0").await;
    for n in 0..50_u8 {
        a.channel.send("b", vec![n; usize::from(n) * 100].into()).unwrap();
    }
    b.channel.send("a", Bytes::from_static(b"hello")).unwrap();
    for n in 0..50_u8 {
        let bytes = vec![n; usize::from(n) * 100].into();
        let expected = ChannelEvent::Frame { peer: "a".to_owned(), boot: 10, bytes };
        assert_eq!(b.event_like(is_frame).await, expected);
    }
    let bytes = Bytes::from_static(b"hello");
    let expected = ChannelEvent::Frame { peer: "b".to_owned(), boot: 20, bytes };
    assert_eq!(a.event_like(is_frame).await, expected);
}

#[tokio::test]
async fn the_longest_frame_crosses_and_a_longer_one_is_not_taken() {
    let (a, mut b) = couple("127.0.0.1:0", "127.0.0.1:0").await;
    let longest = Bytes::from(vec![7; MAX_FRAME]);
    a.channel.send("b", longest.clone()).unwrap();
    let ChannelEvent::Frame { bytes, .. } = b.event_like(is_frame).await else { unreachable!() };
    assert!(bytes == longest);
    let longer = Bytes::from(vec![7; MAX_FRAME + 1]);
    assert_eq!(a.channel.send("b", longer), Err(SendError::TooLong));
    assert_eq!(a.channel.send("c", Bytes::new()), Err(SendError::UnknownPeer));
}

#[tokio::test]
async fn a_queue_has_a_bound() {
    let (a, b) = couple("127.0.0.1:0", "127.0.0.1:0").await;
    // b's owner reads no events, so b stops reading, and at last a stops taking.
    let frame = Bytes::from(vec![0; 1 << 20]);
    let taken = timeout(PATIENCE, async {
        for taken in 0.. {
            match a.channel.send("b", frame.clone()) {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return (taken, error),
            }
        }
        unreachable!("the loop has no end")
    });
    let (taken, error) = taken.await.unwrap();
    assert_eq!(error, SendError::QueueFull);
    assert!(taken * frame.len() <= MAX_QUEUED_BYTES + (MAX_EVENTS + 64) * frame.len());
    assert!(a.channel.status()["b"].queued_bytes <= MAX_QUEUED_BYTES);
    drop(b);
}

#[tokio::test]
async fn a_node_of_another_authority_is_turned_away_by_both_sides() {
    let mut a = Node::start("a", 1, TestAuthority::new("x").identity("a"), "127.0.0.1:0").await;
    let mut b = Node::start("b", 1, TestAuthority::new("x").identity("b"), "127.0.0.1:0").await;
    introduce(&a, &b);
    fails_with(&a, "b", "another authority").await;
    fails_with(&b, "a", "another authority").await;
    a.event_like(is_refused).await;
    b.event_like(is_refused).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_with_a_word_on_clocks() {
    let authority = TestAuthority::new("test");
    let expired = authority.identity_until("a", 2020);
    let mut a = Node::start("a", 1, expired, "127.0.0.1:0").await;
    let mut b = Node::start("b", 1, authority.identity("b"), "127.0.0.1:0").await;
    introduce(&a, &b);
    fails_with(&b, "a", "certificate expired").await;
    fails_with(&a, "b", "our certificate expired").await;
    let ChannelEvent::Refused { reason, .. } = b.event_like(is_refused).await else {
        unreachable!()
    };
    assert!(reason.contains("expired"), "{reason}");
    a.event_like(is_refused).await;
}

#[tokio::test]
async fn another_member_or_a_removed_one_under_the_same_name_is_not_taken_for_the_peer() {
    let authority = TestAuthority::new("test");
    let a = Node::start("a", 1, authority.identity("a"), "127.0.0.1:0").await;
    let mut b = Node::start("b", 1, authority.identity("b"), "127.0.0.1:0").await;
    // a's list has c at b's address.
    let c = ChannelPeer { name: "c".to_owned(), address: b.address, key: None };
    a.channel.set_peers(vec![c]);
    fails_with(&a, "c", "another member than expected").await;
    // a's list has b with another key: b was removed and joined anew.
    let old = ChannelPeer { key: Some([1; 32]), ..b.as_peer() };
    a.channel.set_peers(vec![old]);
    fails_with(&a, "b", "another key").await;
    // b does not know a at all.
    a.channel.set_peers(vec![b.as_peer()]);
    fails_with(&a, "b", "does not know this node as a member").await;
    let unknown = |event: &ChannelEvent| matches!(event, ChannelEvent::Refused { reason, .. } if reason.contains("a is not a member"));
    b.event_like(unknown).await;
}

#[tokio::test]
async fn noise_on_the_port_is_refused_and_disturbs_nobody() {
    let (mut a, mut b) = couple("127.0.0.1:0", "127.0.0.1:0").await;
    for noise in [b"GET / HTTP/1.0\r\n\r\n".as_slice(), &[0x16, 3, 1, 0xff, 0xff], b""] {
        use tokio::io::AsyncWriteExt;
        let mut stream = TcpStream::connect(b.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        b.event_like(is_refused).await;
    }
    // A node that wants to join where nobody admits.
    let authority = fingerprint(&TestAuthority::new("other").certificate);
    let error = connect_pinned(b.address, authority).await.unwrap_err();
    assert!(error.to_string().contains("another cluster"), "{error}");
    assert!(explain(&error).is_none(), "already in words");
    a.channel.send("b", Bytes::from_static(b"still here")).unwrap();
    b.event_like(is_frame).await;
    b.channel.send("a", Bytes::from_static(b"still here")).unwrap();
    a.event_like(is_frame).await;
}

#[tokio::test]
async fn a_peer_that_comes_back_is_connected_to_at_once_when_kicked() {
    let authority = TestAuthority::new("test");
    let mut a = Node::start("a", 10, authority.identity("a"), "127.0.0.1:0").await;
    let b_identity = authority.identity("b");
    let b_key = key_fingerprint(&b_identity.certificate).unwrap();
    // An address where nobody listens yet.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let name = "b".to_owned();
    a.channel.set_peers(vec![ChannelPeer { name, address, key: Some(b_key) }]);
    fails_with(&a, "b", "refused").await;
    assert_eq!(a.channel.send("b", Bytes::new()), Err(SendError::NotConnected));
    let b = Node::start("b", 20, b_identity, &address.to_string()).await;
    b.channel.set_peers(vec![a.as_peer()]);
    a.channel.kick("b");
    a.connected_to("b").await;
    // It goes away: the loss is told.
    drop(b);
    let gone = a.event_like(|event| matches!(event, ChannelEvent::Disconnected { .. })).await;
    assert!(matches!(gone, ChannelEvent::Disconnected { peer, .. } if peer == "b"));
}

#[tokio::test]
async fn removing_a_peer_closes_both_directions() {
    let (mut a, mut b) = couple("127.0.0.1:0", "127.0.0.1:0").await;
    a.channel.set_peers(vec![]);
    let gone = b.event_like(|event| matches!(event, ChannelEvent::Disconnected { .. })).await;
    assert!(matches!(gone, ChannelEvent::Disconnected { peer, .. } if peer == "a"));
    fails_with(&b, "a", "does not know this node").await;
    a.event_like(is_refused).await;
    assert_eq!(a.channel.send("b", Bytes::new()), Err(SendError::UnknownPeer));
}

#[tokio::test]
async fn who_is_no_member_any_more_is_told_the_owners_word_and_by_a_proved_peer_only() {
    let authority = TestAuthority::new("test");
    let mut removed = Node::start("a", 1, authority.identity("a"), "127.0.0.1:0").await;
    let mut b = Node::start("b", 1, authority.identity("b"), "127.0.0.1:0").await;
    b.channel.set_word(b"as of 7".to_vec());
    removed.channel.set_peers(vec![b.as_peer()]);
    let away = |event: &ChannelEvent| matches!(event, ChannelEvent::TurnedAway { .. });
    let told = ChannelEvent::TurnedAway { peer: "b".to_owned(), word: b"as of 7".to_vec() };
    assert_eq!(removed.event_like(away).await, told);
    fails_with(&removed, "b", "does not know this node as a member").await;
    let ChannelEvent::Refused { reason, .. } = b.event_like(is_refused).await else {
        unreachable!()
    };
    assert_eq!(reason, "a is not a member");
    // A member under the same address that is not the one known says nothing that counts, nor does a stranger.
    let mut others = Vec::new();
    for authority in [&authority, &TestAuthority::new("other")] {
        let other = Node::start("c", 1, authority.identity("c"), "127.0.0.1:0").await;
        other.channel.set_word(b"as of 9".to_vec());
        others.push(other);
    }
    for (known, part) in [(&others[0], "another key"), (&others[1], "another authority")] {
        let key = Some([9; 32]);
        removed.channel.set_peers(vec![ChannelPeer { key, ..known.as_peer() }]);
        fails_with(&removed, "c", part).await;
    }
    // One whose key is not known could be a removed member of that name.
    removed.channel.set_peers(vec![ChannelPeer { key: None, ..others[0].as_peer() }]);
    fails_with(&removed, "c", "does not know this node as a member").await;
    while let Ok(event) = removed.events.try_recv() {
        assert!(!away(&event) || event == told, "{event:?}");
    }
}
