//! A blocking client of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_api::{
    ApiError, Code, MAX_LINE, Reply, ReplyBody, Request, RequestBody, decode_line, encode_line,
};

/// How long the daemon may stay silent on a request that it answers at once.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to this node's daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    reader: BufReader<UnixStream>,
    last_id: u64,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// When nothing listens there, or the caller may not connect; the remedy says which.
    pub fn connect(path: &Path) -> Result<Self, ApiError> {
        let stream = UnixStream::connect(path).map_err(|error| unreachable(path, &error))?;
        Ok(Self { path: path.to_path_buf(), reader: BufReader::new(stream), last_id: 0 })
    }

    /// Asks, and returns the last reply.
    ///
    /// # Errors
    /// What the daemon answered, or why its answer did not come.
    pub fn call(&mut self, body: RequestBody) -> Result<ReplyBody, ApiError> {
        self.call_with(body, Some(PATIENCE), &mut |_| Ok(()))
    }

    /// Asks, hands every reply but the last to `on_reply`, and returns the last. The daemon may stay silent
    /// for `silence` at most; `None` waits for ever.
    ///
    /// # Errors
    /// What the daemon or `on_reply` answered, or why no answer came. When a changing request was sent
    /// and its answer lost, the code is [`Code::Indeterminate`].
    pub fn call_with(
        &mut self,
        body: RequestBody,
        silence: Option<Duration>,
        on_reply: &mut dyn FnMut(ReplyBody) -> Result<(), ApiError>,
    ) -> Result<ReplyBody, ApiError> {
        self.last_id += 1;
        let request = Request::new(self.last_id, body);
        let stream = self.reader.get_ref();
        let set = stream.set_read_timeout(silence);
        let set = set.and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        set.map_err(|error| self.lost(&error, false))?;
        let line = encode_line(&request);
        self.reader.get_mut().write_all(&line).map_err(|error| self.lost(&error, false))?;
        let mutates = request.body.mutates();
        loop {
            let reply = self.read_reply(mutates)?;
            if reply.id != self.last_id && reply.id != 0 {
                continue;
            }
            match (reply.body, reply.more) {
                (Ok(body), true) => on_reply(body)?,
                (body, _) => return body,
            }
        }
    }

    fn read_reply(&mut self, mutates: bool) -> Result<Reply, ApiError> {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.reader).take(limit + 1).read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.last() == Some(&b'\n') => {}
            Ok(_) => {
                let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(self.lost(&ended, mutates));
            }
            Err(error) => return Err(self.lost(&error, mutates)),
        }
        decode_line(&line).map_err(|error| {
            let detail =
                std::error::Error::source(&error).map_or(String::new(), |e| format!(" ({e})"));
            ApiError::new(
                Code::Disconnected,
                format!("cannot read the answer on {}: {error}{detail}", self.path.display()),
            )
            .remedy("use the same version of haven for the command and the daemon")
        })
    }

    /// The error for a connection that broke, by whether a change may have happened.
    fn lost(&self, error: &io::Error, may_have_happened: bool) -> ApiError {
        let path = self.path.display();
        let timed_out = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        let found = if error.kind() == io::ErrorKind::UnexpectedEof {
            "the daemon closed the connection".to_owned()
        } else if timed_out {
            "the daemon did not answer in time".to_owned()
        } else {
            error.to_string()
        };
        if may_have_happened {
            return ApiError::new(
                Code::Indeterminate,
                format!("the change was sent over {path} and may have happened: {found}"),
            )
            .remedy("look with `haven status` before trying again");
        }
        let code = if timed_out { Code::Timeout } else { Code::Disconnected };
        ApiError::new(code, format!("no answer over {path}: {found}"))
            .remedy("look at the daemon's log, and try again")
    }
}

fn unreachable(path: &Path, error: &io::Error) -> ApiError {
    let kind = error.kind();
    let (code, found, remedy) = if kind == io::ErrorKind::NotFound {
        (
            Code::Unavailable,
            "there is no such socket".to_owned(),
            "is the daemon running? Start it with `haven node run --config FILE`, and give commands the same file",
        )
    } else if kind == io::ErrorKind::ConnectionRefused {
        (
            Code::Unavailable,
            "nobody listens there any more".to_owned(),
            "the daemon has ended; start it with `haven node run --config FILE`",
        )
    } else if kind == io::ErrorKind::PermissionDenied {
        (
            Code::NoPermission,
            "permission denied".to_owned(),
            "run the command as the user of the daemon, usually root",
        )
    } else {
        (Code::Unavailable, error.to_string(), "look at the daemon's log")
    };
    let path = path.display();
    ApiError::new(code, format!("cannot reach the daemon at {path}: {found}")).remedy(remedy)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
