//! The accepting side: proves who connects, and reads frames of members.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;

use super::dial::describe;
use super::frames::FrameReader;
use super::{ACCEPTED, ChannelEvent, Peer, Shared, Stranger, TURNED_AWAY, lock, tcp};
use crate::socket::tls::{JOIN_PROTOCOL, MEMBER_PROTOCOL, key_fingerprint, names};

/// Handshakes under way at one time; further ones wait in the kernel's queue.
const HANDSHAKES: usize = 32;
/// Joining nodes served at one time.
const STRANGERS: usize = 4;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Pause before the address is tried again.
const REBIND: Duration = Duration::from_millis(500);

/// Listens for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    loop {
        match tcp::listen(shared.listen) {
            Ok(listener) => {
                *lock(&shared.listening) = listener.local_addr().map_err(|e| e.to_string());
                let error = accept_all(&shared, &listener, &handshakes, &strangers).await;
                *lock(&shared.listening) = Err(error.to_string());
            }
            Err(error) => *lock(&shared.listening) = Err(error.to_string()),
        }
        tokio::select! {
            () = tokio::time::sleep(REBIND) => {}
            () = shared.rebind.notified() => {}
        }
    }
}

/// Accepts until the listening socket fails.
async fn accept_all(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    handshakes: &Arc<Semaphore>,
    strangers: &Arc<Semaphore>,
) -> io::Error {
    loop {
        let Ok(permit) = Arc::clone(handshakes).acquire_owned().await else {
            return io::ErrorKind::Other.into();
        };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            // A connection that ended before it was accepted, or no descriptor left: both pass.
            Err(error) if is_passing(&error) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            Err(error) => return error,
        };
        let (shared, strangers) = (Arc::clone(shared), Arc::clone(strangers));
        tokio::spawn(async move {
            if let Err(error) = admit(&shared, stream, remote, permit, &strangers).await {
                refuse(&shared, remote, describe(&error));
            }
        });
    }
}

/// Tells the owner, as often as that is worth it.
fn refuse(shared: &Shared, remote: SocketAddr, reason: String) {
    let due = lock(&shared.refusals).note(Instant::now(), remote.ip(), &reason);
    if let Some(times) = due {
        let event = ChannelEvent::Refused { remote, reason, times };
        // Nobody waits for this event; with a full queue it is only one refusal among many.
        let _lost = shared.events.try_send(event);
    }
}

fn is_passing(error: &io::Error) -> bool {
    let number = error.raw_os_error().unwrap_or(0);
    matches!(
        number,
        libc::ECONNABORTED
            | libc::EMFILE
            | libc::ENFILE
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::EINTR
    )
}

/// Finds out who connects and hands the connection to the right reader.
async fn admit(
    shared: &Arc<Shared>,
    stream: TcpStream,
    remote: SocketAddr,
    permit: OwnedSemaphorePermit,
    strangers: &Arc<Semaphore>,
) -> io::Result<()> {
    tcp::tune(&stream)?;
    let stream = timeout(HANDSHAKE, shared.acceptor.accept(stream))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no end of the TLS handshake"))??;
    drop(permit);
    match stream.get_ref().1.alpn_protocol() {
        Some(protocol) if protocol == MEMBER_PROTOCOL => serve_member(shared, stream).await,
        Some(protocol) if protocol == JOIN_PROTOCOL => {
            let Some(joins) = &shared.joins else {
                return Err(denied("this node admits no new members"));
            };
            let Ok(permit) = Arc::clone(strangers).try_acquire_owned() else {
                return Err(denied("too many nodes try to join at one time"));
            };
            joins
                .try_send(Stranger { stream, remote, permit })
                .map_err(|_| denied("this node cannot serve joining nodes now"))
        }
        _ => Err(denied("it names no protocol of ours")),
    }
}

fn denied(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Names the member at the other end by its certificate; where it is of the authority and of no member, why.
fn identify(
    shared: &Shared,
    stream: &TlsStream<TcpStream>,
) -> io::Result<Result<Arc<Peer>, String>> {
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .ok_or_else(|| denied("it shows no certificate"))?;
    let names = names(certificate).map_err(|error| denied(&error.to_string()))?;
    let peers = lock(&shared.peers);
    let Some(peer) = names.iter().find_map(|name| peers.get(name)) else {
        return Ok(Err(format!("{} is not a member", names.join(", "))));
    };
    let key = key_fingerprint(certificate).map_err(|error| denied(&error.to_string()))?;
    if peer.peer.key.is_some_and(|expected| expected != key) {
        return Ok(Err(format!(
            "it shows a certificate of {} with another key than the member list has",
            peer.peer.name
        )));
    }
    Ok(Ok(Arc::clone(peer)))
}

/// Says the owner's word, and waits until it was taken: closing at once could discard it.
async fn turn_away(shared: &Shared, stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let word = lock(&shared.word).clone();
    let Ok(length) = u8::try_from(word.len()) else { return Ok(()) };
    if length == 0 {
        return Ok(());
    }
    stream.write_all(&[TURNED_AWAY, length]).await?;
    stream.write_all(&word).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1];
    stream.read(&mut rest).await.map(|_| ())
}

async fn serve_member(shared: &Arc<Shared>, mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    let peer = identify(shared, &stream)?;
    let boot = timeout(HANDSHAKE, stream.read_u64())
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not name its boot id"))??;
    let peer = match peer {
        Ok(peer) => peer,
        Err(reason) => {
            // It is turned away whether it takes the word or not.
            let _taken = timeout(HANDSHAKE, turn_away(shared, &mut stream)).await;
            return Err(denied(&reason));
        }
    };
    stream.write_u8(ACCEPTED).await?;
    stream.flush().await?;
    let task = tokio::spawn(read_frames(Arc::clone(shared), peer.peer.name.clone(), boot, stream));
    // The newest connection counts: the one before is the rest of an interrupted path.
    if let Some(before) = lock(&peer.reader).replace(task) {
        before.abort();
    }
    // The peer may have been removed meanwhile.
    let known =
        lock(&shared.peers).get(&peer.peer.name).is_some_and(|held| Arc::ptr_eq(held, &peer));
    if !known {
        peer.stop();
    }
    Ok(())
}

async fn read_frames(shared: Arc<Shared>, peer: String, boot: u64, stream: TlsStream<TcpStream>) {
    let remote = stream.get_ref().0.peer_addr();
    let mut reader = FrameReader::new(stream);
    loop {
        let event = match reader.next().await {
            Ok(Some(bytes)) => ChannelEvent::Frame { peer: peer.clone(), boot, bytes },
            Ok(None) => return,
            // A path that broke is the connecting side's business; a broken protocol is ours.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                if let Ok(remote) = remote {
                    refuse(&shared, remote, format!("{peer}: {}", describe(&error)));
                }
                return;
            }
            Err(_) => return,
        };
        if shared.events.send(event).await.is_err() {
            return;
        }
    }
}
