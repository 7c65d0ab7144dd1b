//! The connecting side: keeps one connection to a peer, and writes what is queued.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::frames::write_frame;
use super::{
    ACCEPTED, ChannelEvent, ChannelPeer, MAX_QUEUED, Peer, Shared, TURNED_AWAY, lock, tcp,
};
use crate::socket::tls::{explain, key_fingerprint, pinned_connector};

/// Longest wait for a TCP connection: the kernel's second SYN would come after a second.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest wait for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// A kick ends an attempt of at least this age.
const LEAST_ATTEMPT: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const STALLED: &str = "replaced: the path is back and TCP still waits for its timer";

/// Starts the task that keeps the connection to a peer.
pub(super) fn start(shared: &Arc<Shared>, peer: ChannelPeer) -> Arc<Peer> {
    let (queue, frames) = mpsc::channel(MAX_QUEUED);
    let peer = Arc::new(Peer {
        peer,
        queue,
        queued_bytes: AtomicUsize::new(0),
        connected: AtomicBool::new(false),
        kick: Notify::new(),
        last_error: Mutex::new(String::new()),
        dialer: Mutex::new(None),
        reader: Mutex::new(None),
    });
    let task = tokio::spawn(run(Arc::clone(shared), Arc::clone(&peer), frames));
    *lock(&peer.dialer) = Some(task);
    peer
}

async fn run(shared: Arc<Shared>, peer: Arc<Peer>, mut frames: mpsc::Receiver<Bytes>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let kicked = async {
            // An attempt gets this time whatever happens: kicks in a row must not prevent all.
            tokio::time::sleep(LEAST_ATTEMPT).await;
            peer.kick.notified().await;
        };
        let attempt = tokio::select! {
            attempt = connect(&shared, &peer.peer) => Some(attempt),
            () = kicked => None,
        };
        let error = match attempt {
            // Kicked: the path is back, so the SYN under way may have been lost before.
            None => {
                pause = FIRST_PAUSE;
                continue;
            }
            Some(Ok(stream)) => {
                pause = FIRST_PAUSE;
                let reason = serve(&shared, &peer, stream, &mut frames).await;
                let name = peer.peer.name.clone();
                let gone = ChannelEvent::Disconnected { peer: name, reason: reason.clone() };
                if shared.events.send(gone).await.is_err() {
                    return;
                }
                if reason == STALLED {
                    continue;
                }
                reason
            }
            Some(Err(error)) => {
                if let Some(word) = word_of(&error) {
                    let peer = peer.peer.name.clone();
                    if shared.events.send(ChannelEvent::TurnedAway { peer, word }).await.is_err() {
                        return;
                    }
                }
                describe(&error)
            }
        };
        *lock(&peer.last_error) = error;
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = peer.kick.notified() => pause = FIRST_PAUSE,
        }
    }
}

/// The peer says that this node is no member.
#[derive(Debug, thiserror::Error)]
#[error("the peer turned us away: it does not know this node as a member")]
struct TurnedAway {
    word: Vec<u8>,
}

/// What a peer said that turned us away, if it did.
fn word_of(error: &io::Error) -> Option<Vec<u8>> {
    let away = error.get_ref()?.downcast_ref::<TurnedAway>()?;
    (!away.word.is_empty()).then(|| away.word.clone())
}

async fn connect(shared: &Shared, peer: &ChannelPeer) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(peer.name.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let tcp = timeout(CONNECT, tcp::connect(Some(shared.listen), peer.address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection"))??;
    let mut stream = timeout(HANDSHAKE, shared.connector.connect(name, tcp))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no end of the TLS handshake"))??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let shown = shown.map(|certificate| key_fingerprint(certificate));
    if let Some(expected) = peer.key
        && !matches!(shown, Some(Ok(shown)) if shown == expected)
    {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "its certificate is of another key than the member list has: a removed member?",
        ));
    }
    // Which life of ours speaks.
    stream.write_all(&shared.boot.to_be_bytes()).await?;
    stream.flush().await?;
    // In TLS 1.3 the client is done first; one byte tells that the other side accepted us.
    let answer = timeout(HANDSHAKE, first_answer(&mut stream))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the peer does not accept us"))?;
    let away = match answer? {
        None => return Ok(stream),
        // Whose key is not known may be a removed member of the same name: its word counts for nothing.
        Some(word) => TurnedAway { word: peer.key.map_or_else(Vec::new, |_| word) },
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, away))
}

/// Nothing where the other side accepted us, else its word; an empty one where it closed without any.
async fn first_answer(stream: &mut TlsStream<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let first = match stream.read_u8().await {
        Ok(first) => first,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    match first {
        ACCEPTED => Ok(None),
        TURNED_AWAY => {
            let mut word = vec![0; usize::from(stream.read_u8().await?)];
            stream.read_exact(&mut word).await?;
            Ok(Some(word))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the peer speaks another version of the channel's protocol",
        )),
    }
}

/// Writes frames until the connection breaks; the reason.
async fn serve(
    shared: &Shared,
    peer: &Peer,
    stream: TlsStream<TcpStream>,
    frames: &mut mpsc::Receiver<Bytes>,
) -> String {
    let name = peer.peer.name.clone();
    lock(&peer.last_error).clear();
    if shared.events.send(ChannelEvent::Connected { peer: name }).await.is_err() {
        return "the owner is gone".to_owned();
    }
    peer.connected.store(true, Ordering::Release);
    let reason = write_all(peer, stream, frames).await;
    peer.connected.store(false, Ordering::Release);
    // Frames of a broken connection are lost, as promised; the next one begins empty.
    while let Ok(frame) = frames.try_recv() {
        peer.queued_bytes.fetch_sub(frame.len(), Ordering::AcqRel);
    }
    reason
}

async fn write_all(
    peer: &Peer,
    stream: TlsStream<TcpStream>,
    frames: &mut mpsc::Receiver<Bytes>,
) -> String {
    // The halves of a split stream do not show their socket; this is a second handle on it.
    let socket = match stream.get_ref().0.as_fd().try_clone_to_owned() {
        Ok(socket) => socket,
        Err(error) => return describe(&error),
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut nothing = [0; 1];
    // The other side sends nothing after its first byte: a read that ends means that it closed.
    let closed = reader.read(&mut nothing);
    tokio::pin!(closed);
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            ended = &mut closed => return ended_by(ended),
            () = peer.kick.notified() => {
                if tcp::is_stalled(&socket) {
                    return STALLED.to_owned();
                }
                continue;
            }
        };
        let Some(frame) = frame else { return "the peer was removed".to_owned() };
        let written = {
            // One future for the whole frame: a write given up breaks the stream.
            let write = write_frame(&mut writer, &frame);
            tokio::pin!(write);
            loop {
                tokio::select! {
                    written = &mut write => break written.map_err(|error| describe(&error)),
                    ended = &mut closed => break Err(ended_by(ended)),
                    () = peer.kick.notified() => {
                        if tcp::is_stalled(&socket) {
                            break Err(STALLED.to_owned());
                        }
                    }
                }
            }
        };
        peer.queued_bytes.fetch_sub(frame.len(), Ordering::AcqRel);
        if let Err(reason) = written {
            return reason;
        }
    }
}

/// Connects to a member as a node that is none yet: all it knows is the SHA-256 fingerprint of the
/// authority's certificate. Proves nothing about us.
///
/// # Errors
/// When there is no answer within some seconds, or the other side does not belong to that authority; the
/// message says which.
pub async fn connect_pinned(
    address: SocketAddr,
    authority: [u8; 32],
) -> io::Result<TlsStream<TcpStream>> {
    let connector = pinned_connector(authority).map_err(io::Error::other)?;
    let tcp = timeout(HANDSHAKE, tcp::connect(None, address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection"))??;
    // No name is known, and none is checked: any member of the cluster will do.
    let name = ServerName::from(address.ip());
    timeout(HANDSHAKE, connector.connect(name, tcp))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no end of the TLS handshake"))?
        .map_err(|error| io::Error::new(error.kind(), describe(&error)))
}

fn ended_by(ended: io::Result<usize>) -> String {
    match ended {
        Ok(0) => "closed by the peer".to_owned(),
        Ok(_) => "the peer broke the protocol".to_owned(),
        Err(error) => describe(&error),
    }
}

/// What a failed connection means, in an operator's words: those of the TLS library are for
/// programmers.
#[must_use]
#[allow(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
pub fn describe(error: &io::Error) -> String {
    if let Some(meaning) = explain(error) {
        return meaning.to_owned();
    }
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::UnexpectedEof if text.contains("handshake") => {
            "it was closed at the other end before both had proved who they are".to_owned()
        }
        io::ErrorKind::UnexpectedEof => {
            "it was closed at the other end without a goodbye".to_owned()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it was broken off at the other end".to_owned()
        }
        io::ErrorKind::ConnectionRefused => "connection refused: nobody listens there".to_owned(),
        io::ErrorKind::TimedOut if error.raw_os_error().is_some() => {
            "nothing came back from there for too long".to_owned()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_of_a_library_reach_an_operator() {
        let eof = io::ErrorKind::UnexpectedEof;
        let closed = io::Error::new(eof, "peer closed connection: https://docs.rs/rustls/");
        assert_eq!(describe(&closed), "it was closed at the other end without a goodbye");
        let early = describe(&io::Error::new(eof, "tls handshake eof"));
        assert!(early.contains("before both had proved"), "{early}");
        let refused = describe(&io::ErrorKind::ConnectionRefused.into());
        assert!(refused.contains("nobody listens there"), "{refused}");
        let other = io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection");
        assert_eq!(describe(&other), "no answer to the connection");
    }
}
