//! A member's side of a join.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haven_base::{Instant, WallTime};
use haven_host::socket::channel::{FrameReader, Stranger, describe, write_frame};
use haven_host::socket::tls::key_fingerprint;
use haven_messaging::Keyring;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::admission::{Admission, AdmissionRequest, Admitted, Refused};
use super::authority::{Authority, verify};
use super::identity::{Identity, check_name};
use super::join::EXPORTER;
use super::message::{JoinReply, JoinRequest, MAX_FRAME, Role, Welcome};
use super::token::hash;

/// Longest wait for a stranger's request, and for it to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the cluster's decision.
const DECISION: Duration = Duration::from_secs(25);

/// Serves nodes that want to join.
#[derive(Debug)]
pub struct JoinServer<A> {
    identity: Arc<Identity>,
    keys: watch::Receiver<Keyring>,
    admission: A,
    attempts: Mutex<Attempts>,
}

impl<A: Admission> JoinServer<A> {
    /// A server for a member with this identity. `keys` is the ring in use at any time.
    #[must_use]
    pub fn new(identity: Arc<Identity>, keys: watch::Receiver<Keyring>, admission: A) -> Arc<Self> {
        Arc::new(Self { identity, keys, admission, attempts: Mutex::default() })
    }

    /// Serves strangers until the channel that brings them is closed. `clocks` gives the boot-time and
    /// the civil clock.
    pub async fn run(
        self: Arc<Self>,
        mut strangers: mpsc::Receiver<Stranger>,
        clocks: impl Fn() -> (Instant, WallTime) + Send + Sync + Clone + 'static,
    ) {
        while let Some(stranger) = strangers.recv().await {
            let (server, clocks) = (Arc::clone(&self), clocks.clone());
            tokio::spawn(async move { server.serve(stranger, clocks).await });
        }
    }

    async fn serve(&self, stranger: Stranger, clocks: impl Fn() -> (Instant, WallTime)) {
        let Stranger { mut stream, remote, permit } = stranger;
        let (now, civil) = clocks();
        let allowed = self.attempts().check(now, remote.ip());
        let (name, outcome) = match allowed {
            Err(refused) => (None, Err(refused)),
            Ok(()) => self.decide(&mut stream, civil).await,
        };
        let name = name.unwrap_or_else(|| "a node".to_owned());
        let reply = match outcome {
            Ok(welcome) => {
                tracing::info!(%name, %remote, node = %welcome.node, "admitted a new member");
                JoinReply::Welcome(Box::new(welcome))
            }
            Err(refused) => {
                self.attempts().note(clocks().0, remote.ip(), &refused);
                // Attempts are limited, and so are these lines.
                if matches!(refused, Refused::TooManyAttempts { .. }) {
                    tracing::debug!(%name, %remote, reason = %refused, "refused to admit");
                } else {
                    tracing::warn!(%name, %remote, reason = %refused, "refused to admit");
                }
                JoinReply::Refused(refused)
            }
        };
        let answer = async {
            write_frame(&mut stream, &reply.encode()).await?;
            // Waits until the answer was taken: closing at once could discard it.
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
            let mut rest = FrameReader::with_limit(&mut stream, MAX_FRAME);
            rest.next().await.map(|_| ())
        };
        if let Ok(Err(error)) = timeout(PATIENCE, answer).await {
            tracing::debug!(%remote, %error, "a joining node did not take its answer in order");
        }
        drop(permit);
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the request and decides; the name asked for comes along for the log.
    async fn decide(
        &self,
        stream: &mut tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
        now: WallTime,
    ) -> (Option<String>, Result<Welcome, Refused>) {
        let malformed = |problem: String| (None, Err(Refused::Malformed { problem }));
        let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER, None);
        let frame = {
            let mut reader = FrameReader::with_limit(&mut *stream, MAX_FRAME);
            match timeout(PATIENCE, reader.next()).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return malformed("no request was sent".to_owned()),
                Ok(Err(error)) => return malformed(describe(&error)),
                Err(_) => return malformed("no request within 5 s".to_owned()),
            }
        };
        let request = match JoinRequest::decode(&frame) {
            Ok(request) => request,
            Err(error) => return malformed(error.to_string()),
        };
        let name = Some(request.name.clone());
        let Ok(exported) = exported else {
            return (name, Err(Refused::Unproved));
        };
        (name, self.admit(request, &exported, now).await)
    }

    async fn admit(
        &self,
        request: JoinRequest,
        exported: &[u8],
        now: WallTime,
    ) -> Result<Welcome, Refused> {
        let identity = &*self.identity;
        let Some(authority_key) = &identity.authority_key else {
            return Err(Refused::AskAnother);
        };
        if !verify(&request.public_key, exported, &request.possession) {
            return Err(Refused::Unproved);
        }
        if request.cluster != identity.cluster.name {
            let (found, expected) = (request.cluster, identity.cluster.name.clone());
            return Err(Refused::OtherCluster { found, expected });
        }
        if check_name(&request.name).is_err() {
            return Err(Refused::BadName { name: request.name });
        }
        // Made before the question, so that nothing can fail after the cluster's yes; the certificate
        // itself carries the number and has to wait.
        let authority =
            Authority { certificate: identity.authority.clone(), key: authority_key.clone() };
        let issue = |node| {
            authority
                .issue(&identity.cluster, &request.name, node, &request.public_key, now)
                .map_err(|error| Refused::Busy { reason: error.to_string() })
        };
        let trial = issue(identity.node)?;
        let key = key_fingerprint(&trial).map_err(|_| Refused::Unproved)?;
        let question = AdmissionRequest {
            token: hash(&request.secret),
            name: request.name.clone(),
            role: request.role,
            links: request.links.clone(),
            channel: request.channel,
            key,
        };
        let decision = timeout(DECISION, self.admission.admit(question));
        let Admitted { node, members } = decision.await.map_err(|_| Refused::NoQuorum)??;
        let certificate = issue(node)?;
        let keys = self.keys.borrow().clone();
        Ok(Welcome {
            cluster: identity.cluster.clone(),
            node,
            certificate,
            authority: identity.authority.clone(),
            authority_key: match request.role {
                Role::Full => Some(authority_key.clone()),
                Role::Witness => None,
            },
            keys,
            members,
        })
    }
}

/// Failed attempts by source address.
#[derive(Debug, Default)]
struct Attempts {
    failed: BTreeMap<IpAddr, (u32, Instant)>,
}

impl Attempts {
    /// Failures within [`Self::WITHIN`] after which an address is turned away unheard.
    const MOST: u32 = 5;
    const WITHIN: Duration = Duration::from_secs(60);
    /// Addresses remembered; when there are more, all wait.
    const ADDRESSES: usize = 256;

    fn check(&mut self, now: Instant, from: IpAddr) -> Result<(), Refused> {
        self.failed.retain(|_, (_, since)| now.since(*since) < Self::WITHIN);
        let wait = match self.failed.get(&from) {
            Some((count, since)) if *count >= Self::MOST => {
                Self::WITHIN.saturating_sub(now.since(*since))
            }
            None if self.failed.len() >= Self::ADDRESSES => Self::WITHIN,
            Some(_) | None => return Ok(()),
        };
        Err(Refused::TooManyAttempts { wait })
    }

    fn note(&mut self, now: Instant, from: IpAddr, refused: &Refused) {
        if refused.is_suspicious() {
            self.failed.entry(from).or_insert((0, now)).0 += 1;
        }
    }
}

#[cfg(test)]
mod limits {
    use super::*;

    #[test]
    fn guessing_is_slowed_and_forgotten_after_a_minute() {
        let mut attempts = Attempts::default();
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..5 {
            assert_eq!(attempts.check(at(10), from), Ok(()));
            attempts.note(at(10), from, &Refused::UnknownToken);
        }
        let wait = Duration::from_secs(50);
        assert_eq!(attempts.check(at(20), from), Err(Refused::TooManyAttempts { wait }));
        assert_eq!(attempts.check(at(20), "192.0.2.2".parse().unwrap()), Ok(()));
        assert_eq!(attempts.check(at(70), from), Ok(()));
        attempts.note(at(70), from, &Refused::NoQuorum);
        assert!(attempts.failed.is_empty(), "no fault of the node's");
    }

    #[test]
    fn the_memory_of_attempts_is_bounded() {
        let mut attempts = Attempts::default();
        let now = Instant::from_nanos(1);
        for n in 0..1_000_u16 {
            let [high, low] = n.to_be_bytes();
            let from = IpAddr::from([198, 51, high, low]);
            if attempts.check(now, from).is_ok() {
                attempts.note(now, from, &Refused::UnknownToken);
            }
        }
        assert_eq!(attempts.failed.len(), Attempts::ADDRESSES);
    }
}
