//! The control socket: one JSON document per line, callers checked by their peer credentials.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haven_api::{ApiError, Code, Reply, Request, RequestBody, VERSION, decode_line, encode_line};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

/// Connections served at once; one more waits.
const MAX_CONNECTIONS: usize = 64;
/// Replies that may wait for a slow client before it is cut off.
const MAX_REPLIES: usize = 1024;

/// A request, with the way back.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is asked.
    pub(crate) body: RequestBody,
    /// Who asks: `root`, or `alice as root`.
    pub(crate) author: String,
    /// The client's own number of the request.
    pub(crate) number: u64,
    /// Where replies go; closed when the client is gone.
    pub(crate) replies: mpsc::Sender<Reply>,
}

/// Why the socket cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Binding or its preparations failed.
    #[error("cannot offer the control socket {path}: {source}; check [paths] run")]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another daemon answers there.
    #[error("another daemon answers at {path}: stop it, or give this one another [paths] run")]
    Taken {
        /// The socket.
        path: PathBuf,
    },
}

/// Offers the socket and serves it until the daemon ends.
///
/// # Errors
/// When the directory or the socket cannot be made, or another daemon answers there.
pub(crate) fn serve(path: &Path, requests: mpsc::Sender<Asked>) -> Result<(), ControlError> {
    let bind = |source| ControlError::Bind { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(bind)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ControlError::Taken { path: path.to_owned() });
    }
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(bind(error));
    }
    let listener = UnixListener::bind(path).map_err(bind)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(bind)?;
    tokio::spawn(accept(listener, requests));
    Ok(())
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<Asked>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    connection(stream, requests).await;
                    drop(permit);
                });
            }
            Err(error) => tracing::warn!(
                "a client could not be accepted: {error}; if \"too many open files\", raise LimitNOFILE"
            ),
        }
    }
}

/// Who is at the other end, if they may ask anything.
fn caller(stream: &UnixStream) -> Result<String, ApiError> {
    let credentials = stream.peer_cred().map_err(|error| {
        ApiError::new(Code::NoPermission, format!("the caller is not known: {error}"))
    })?;
    let uid = credentials.uid();
    let own = rustix::process::geteuid().as_raw();
    if uid != 0 && uid != own {
        let message = format!("user {uid} may not control this daemon, which runs as {own}");
        return Err(ApiError::new(Code::NoPermission, message).remedy("use sudo"));
    }
    Ok(crate::people::author(uid, credentials.pid()))
}

async fn connection(stream: UnixStream, requests: mpsc::Sender<Asked>) {
    let author = caller(&stream);
    let (reader, writer) = stream.into_split();
    let (replies, outbox) = mpsc::channel(MAX_REPLIES);
    let writing = tokio::spawn(write_replies(writer, outbox));
    match author {
        Ok(author) => read_requests(reader, &author, &requests, &replies).await,
        Err(error) => {
            // The client may be gone already; then nobody is left to be told.
            let _told = replies.send(Reply::last(0, Err(error))).await;
        }
    }
    drop(replies);
    // A writer that failed has nobody to write to.
    let _ended = writing.await;
}

async fn write_replies(mut writer: OwnedWriteHalf, mut outbox: mpsc::Receiver<Reply>) {
    while let Some(reply) = outbox.recv().await {
        if writer.write_all(&encode_line(&reply)).await.is_err() {
            return;
        }
    }
}

async fn read_requests(
    reader: OwnedReadHalf,
    author: &str,
    requests: &mpsc::Sender<Asked>,
    replies: &mpsc::Sender<Reply>,
) {
    let limit = u64::try_from(haven_api::MAX_LINE).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(limit + 1);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let asked = match understood(&line) {
            Ok(Request { id, body, .. }) => {
                let (author, replies) = (author.to_owned(), replies.clone());
                Asked { body, author, number: id, replies }
            }
            Err((id, error)) => {
                let refused = replies.send(Reply::last(id, Err(error))).await;
                if refused.is_err() || line.last() != Some(&b'\n') {
                    return;
                }
                continue;
            }
        };
        if requests.send(asked).await.is_err() {
            return;
        }
    }
}

fn understood(line: &[u8]) -> Result<Request, (u64, ApiError)> {
    let request: Request = decode_line(line).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
        let message = format!("the request cannot be read: {error}{cause}");
        (0, ApiError::new(Code::BadData, message).remedy("see docs/operating/commands.md"))
    })?;
    if request.version != VERSION {
        let message = format!(
            "API version {} is asked for, this daemon speaks version {VERSION}",
            request.version
        );
        let error = ApiError::new(Code::Usage, message).remedy("use the `haven` of the daemon");
        return Err((request.id, error));
    }
    Ok(request)
}

/// Requests under way, by the number the controller knows them by.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    open: BTreeMap<u64, (u64, mpsc::Sender<Reply>)>,
    next: u64,
}

impl Desk {
    /// Notes a request and numbers it.
    pub(crate) fn enter(&mut self, asked: &Asked) -> u64 {
        self.next += 1;
        self.open.insert(self.next, (asked.number, asked.replies.clone()));
        self.next
    }

    /// Passes a reply on. A client that does not read is given up.
    pub(crate) fn answer(
        &mut self,
        id: u64,
        more: bool,
        body: Result<haven_api::ReplyBody, ApiError>,
    ) {
        let Some((number, replies)) = self.open.get(&id) else { return };
        let reply = Reply { id: *number, more, body };
        if replies.try_send(reply).is_err() || !more {
            self.open.remove(&id);
        }
    }

    /// Whether a request is under way still, and its client not known to be gone.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// Replies that the connection of a request has room for; none when it is gone.
    pub(crate) fn room(&self, id: u64) -> Option<usize> {
        let (_, replies) = self.open.get(&id)?;
        (!replies.is_closed()).then(|| replies.capacity())
    }

    /// Requests whose clients are gone.
    pub(crate) fn abandoned(&mut self) -> Vec<u64> {
        let gone: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, (_, replies))| replies.is_closed())
            .map(|e| *e.0)
            .collect();
        for id in &gone {
            self.open.remove(id);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, ErrorKind, Write};
    use std::os::unix::net::UnixStream as Caller;

    use rustix::process::Uid;

    use super::*;

    const NOBODY: u32 = 65_534;

    /// What `act` finds when done by a thread of another user.
    fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let nobody = Some(Uid::from_raw(NOBODY));
                // Of this thread alone, which ends here.
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                act()
            });
            other.join().unwrap()
        })
    }

    /// The first line of the answer to a request.
    fn ask(path: &Path) -> std::io::Result<String> {
        let mut stream = Caller::connect(path)?;
        // Who is refused may be answered and left before this is written.
        let _sent = stream.write_all(b"{\"version\":1,\"id\":7,\"body\":{\"do\":\"status\"}}\n");
        let _closed = stream.shutdown(std::net::Shutdown::Write);
        let mut line = String::new();
        std::io::BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    }

    fn open_to_all(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn another_user_is_refused_by_the_socket_and_by_the_daemon() {
        if !rustix::process::geteuid().is_root() {
            return haven_skipped::skip("it needs root", "another user's request");
        }
        let directory = tempfile::tempdir().unwrap();
        open_to_all(directory.path(), 0o755);
        let path = directory.path().join("control.sock");
        let (requests, mut asked) = mpsc::channel(1);
        serve(&path, requests).unwrap();
        let refused = as_nobody(|| ask(&path)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "mode 0600");
        // Somebody took that barrier away.
        open_to_all(&path, 0o666);
        let said = as_nobody(|| ask(&path)).unwrap();
        assert!(said.contains("user 65534 may not control this daemon"), "{said}");
        assert!(said.contains("use sudo"), "{said}");
        assert!(asked.try_recv().is_err(), "nothing of it reached the daemon");
        // Root is heard on the same way.
        let own = path.clone();
        let answer = tokio::task::spawn_blocking(move || ask(&own));
        let heard = asked.recv().await.unwrap();
        assert!(heard.author.ends_with("root"), "{heard:?}");
        drop(heard);
        drop(asked);
        let _ended = answer.await.unwrap();
    }
}
