//! The state that the log makes: the same on every node that has applied the same entries.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::WallTime;
use haven_cib::Cib;
use haven_cib::crm::ObjectChange;
use haven_messaging::KeyNotice;
use haven_types::operation::Lease;
use haven_types::{BootId, Epoch, GroupId, NodeId};
use serde::{Deserialize, Serialize};

use crate::command::{Authorship, Command, JoinRefusal, Member, Role};

/// Most entries of the commit log that are kept in the state (the log itself may hold more).
pub const MAX_COMMITS: usize = 256;
/// Most bytes of what they changed; the oldest make room, while author and message stay.
pub const MAX_COMMIT_BYTES: usize = 2 << 20;
/// Most characters of a commit's message.
pub const MAX_MESSAGE: usize = 1_024;
/// Most tokens that may be outstanding.
pub const MAX_TOKENS: usize = 64;
/// Longest validity of a token, from when it is made.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Who holds a lease group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Its number in beats.
    pub group: GroupId,
    /// How often it was granted.
    pub epoch: Epoch,
    /// The holder; nobody when withdrawn.
    pub holder: Option<NodeId>,
}

impl Grant {
    /// The lease as an order names it.
    #[must_use]
    pub const fn lease(&self) -> Lease {
        Lease { group: self.group, epoch: self.epoch }
    }
}

/// One line of the commit log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The version it made.
    pub version: haven_cib::Version,
    /// Who wanted it.
    pub by: Authorship,
    /// Names of the objects concerned.
    pub changed: Vec<String>,
    /// What it changed; none where that had to make room for newer ones.
    pub changes: Option<Vec<ObjectChange>>,
}

/// The replicated state. Its snapshot is its postcard encoding behind a format byte.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Replicated {
    /// The configuration.
    pub cib: Cib,
    /// Members by number.
    pub members: BTreeMap<NodeId, Member>,
    /// Grants by group name.
    pub grants: BTreeMap<String, Grant>,
    /// The latest commits, oldest first.
    pub commits: Vec<Commit>,
    /// Outstanding tokens: hash of the secret, end of validity.
    pub tokens: BTreeMap<[u8; 32], WallTime>,
    /// Hashes of tokens that were used lately.
    pub used_tokens: Vec<[u8; 32]>,
    /// The latest heartbeat key announced; none while the cluster's first is in use. The key itself
    /// travels between members over TLS.
    pub key: Option<KeyNotice>,
    /// A member was removed since, and knows the key.
    pub key_outdated: bool,
    /// The most votes ever seen together, where `expected_votes_tracking` is on.
    pub highest_votes: u32,
    /// Nodes that somebody made sure are dead, each with the life that is over.
    pub confirmed_dead: BTreeMap<NodeId, BootId>,
    next_node: u16,
    next_group: u32,
}

/// What applying a command changed.
#[derive(Clone, PartialEq, Debug)]
pub enum Applied {
    /// The configuration; `changed` lists the ids of objects that differ.
    Configured(haven_cib::Version),
    /// The configuration was made from a version that is no longer current: nothing changed.
    Stale {
        /// What is current.
        current: haven_cib::Version,
    },
    /// A lease group has a new epoch.
    Granted {
        /// Name of the group.
        group: String,
        /// Its grant now.
        grant: Grant,
    },
    /// A node is a member now.
    Joined {
        /// The member with its number.
        member: Member,
        /// Who waits for the answer.
        answer: (NodeId, u64),
    },
    /// A node could not join; why, in the operator's words.
    NotJoined {
        /// Who waits for the answer.
        answer: (NodeId, u64),
        /// Why not.
        reason: JoinRefusal,
    },
    /// A node is no member any more.
    Left(NodeId),
    /// A node is confirmed dead.
    ConfirmedDead(NodeId),
    /// A token exists. Who waits for the answer.
    TokenMinted((NodeId, u64)),
    /// Too many tokens are outstanding. Who waits for the answer.
    TokenRefused((NodeId, u64)),
    /// The heartbeat key changes.
    KeyAnnounced {
        /// The next key.
        notice: KeyNotice,
        /// Who waits for the answer.
        answer: (NodeId, u64),
    },
    /// Another key was announced first. Who waits for the answer.
    KeyRefused((NodeId, u64)),
    /// Nothing: the command was out of date.
    Nothing,
}

const FORMAT: u8 = 4;

impl Replicated {
    /// The state of a cluster that so far consists of its first node alone.
    #[must_use]
    pub fn founded(first: Member, cib: Cib) -> Self {
        let next_node = first.id.0 + 1;
        let mut state = Self { cib, next_node, next_group: 1, ..Self::default() };
        state.put_node(&first);
        state.members.insert(first.id, first);
        state
    }

    /// Applies one command. Every node applies the same commands in the same order.
    pub fn apply(&mut self, command: Command) -> Applied {
        match command {
            Command::Configure { base, cib, changes, by } => {
                self.configure(base, *cib, Commit::new(base, changes, by))
            }
            Command::Grant { group, epoch, holder } => self.grant(group, epoch, holder),
            Command::AddMember { member, token, answer } => self.join(member, token, answer),
            Command::RemoveMember { node } => self.remove(node),
            Command::MintToken { token, expires, answer } => self.mint(token, expires, answer),
            Command::ConfirmDead { node, boot, by } => self.confirm_dead(node, boot, by),
            Command::Reappeared { node } => {
                self.confirmed_dead.remove(&node);
                Applied::Nothing
            }
            Command::NoteVotes { votes } => {
                self.highest_votes = self.highest_votes.max(votes);
                Applied::Nothing
            }
            Command::DropVoidTokens { now } => {
                self.tokens.retain(|_, expires| *expires > now);
                Applied::Nothing
            }
            Command::RotateKey { notice, answer } => {
                if notice.epoch != self.key_epoch() + 1 {
                    return Applied::KeyRefused(answer);
                }
                self.key = Some(notice);
                self.key_outdated = false;
                Applied::KeyAnnounced { notice, answer }
            }
        }
    }

    fn configure(&mut self, base: haven_cib::Version, cib: Cib, mut commit: Commit) -> Applied {
        if base != self.cib.version {
            return Applied::Stale { current: self.cib.version };
        }
        let version = base.next();
        self.cib = cib;
        self.cib.version = version;
        commit.version = version;
        self.commits.push(commit);
        crate::commits::bound(&mut self.commits);
        Applied::Configured(version)
    }

    fn confirm_dead(&mut self, node: NodeId, boot: BootId, by: Authorship) -> Applied {
        let Some(name) = self.members.get(&node).map(|member| member.name.clone()) else {
            return Applied::Nothing;
        };
        self.confirmed_dead.insert(node, boot);
        self.cib.version.num_updates += 1;
        let (version, changed) = (self.cib.version, vec![name]);
        self.commits.push(Commit { version, by, changed, changes: Some(Vec::new()) });
        crate::commits::bound(&mut self.commits);
        Applied::ConfirmedDead(node)
    }

    fn grant(&mut self, name: String, epoch: Epoch, holder: Option<NodeId>) -> Applied {
        let last = self.grants.get(&name).map_or(0, |grant| grant.epoch.0);
        if epoch.0 != last + 1 {
            return Applied::Nothing;
        }
        let grant = match self.grants.get_mut(&name) {
            Some(grant) => {
                grant.epoch = epoch;
                grant.holder = holder;
                *grant
            }
            None => {
                let group = GroupId(self.next_group);
                self.next_group += 1;
                let grant = Grant { group, epoch, holder };
                self.grants.insert(name.clone(), grant);
                grant
            }
        };
        Applied::Granted { group: name, grant }
    }

    /// Whether there is no room for one more token, but some by this time are void.
    pub(crate) fn wants_room(&self, now: WallTime) -> bool {
        self.tokens.len() >= MAX_TOKENS && self.tokens.values().any(|expires| *expires <= now)
    }

    fn mint(&mut self, token: [u8; 32], expires: WallTime, answer: (NodeId, u64)) -> Applied {
        if self.tokens.len() >= MAX_TOKENS {
            return Applied::TokenRefused(answer);
        }
        self.tokens.insert(token, expires);
        Applied::TokenMinted(answer)
    }

    /// Why this node would not be a member if it were proposed now.
    pub(crate) fn would_refuse(&self, new: &Member, token: &[u8; 32]) -> Option<JoinRefusal> {
        let known = self.members.values().any(|known| known.key == new.key);
        if known { None } else { self.refusal(new, token) }
    }

    fn join(&mut self, mut member: Member, token: [u8; 32], answer: (NodeId, u64)) -> Applied {
        // The same node asks again: its first answer was lost.
        if let Some(known) = self.members.values().find(|known| known.key == member.key) {
            return Applied::Joined { member: known.clone(), answer };
        }
        if let Some(reason) = self.refusal(&member, &token) {
            return Applied::NotJoined { answer, reason };
        }
        self.tokens.remove(&token);
        self.used_tokens.push(token);
        let surplus = self.used_tokens.len().saturating_sub(MAX_TOKENS);
        self.used_tokens.drain(..surplus);
        member.id = NodeId(self.next_node);
        self.next_node += 1;
        self.put_node(&member);
        self.cib.version.num_updates += 1;
        self.members.insert(member.id, member.clone());
        Applied::Joined { member, answer }
    }

    /// Why a newcomer cannot be a member beside those there are.
    fn refusal(&self, new: &Member, token: &[u8; 32]) -> Option<JoinRefusal> {
        if self.used_tokens.contains(token) {
            return Some(JoinRefusal::UsedToken);
        }
        if !self.tokens.contains_key(token) {
            return Some(JoinRefusal::UnknownToken);
        }
        self.members.values().find_map(|old| {
            if old.name == new.name {
                return Some(JoinRefusal::NameTaken { name: new.name.clone(), by: old.id });
            }
            let used = |address| address == old.channel || old.links.iter().any(|l| l.1 == address);
            let mine = new.links.iter().map(|link| link.1).chain([new.channel]);
            let shared = mine.into_iter().find(|address| used(*address))?;
            Some(JoinRefusal::AddressTaken { address: shared, by: old.id })
        })
    }

    fn remove(&mut self, node: NodeId) -> Applied {
        let Some(member) = self.members.remove(&node) else { return Applied::Nothing };
        self.confirmed_dead.remove(&node);
        self.key_outdated = true;
        self.cib.nodes.retain(|n| n.uname != member.name);
        // A configuration made before does not bring the node back.
        self.cib.version.num_updates += 1;
        for grant in self.grants.values_mut().filter(|grant| grant.holder == Some(node)) {
            grant.epoch = Epoch(grant.epoch.0 + 1);
            grant.holder = None;
        }
        Applied::Left(node)
    }

    /// Full members are nodes of the configuration; a witness is not, it can run nothing.
    fn put_node(&mut self, member: &Member) {
        if member.role == Role::Full {
            self.cib.nodes.push(haven_cib::Node {
                id: member.id.to_string(),
                uname: member.name.clone(),
                ..haven_cib::Node::default()
            });
        }
    }

    /// Epoch of the latest heartbeat key announced; the cluster's first is 1.
    #[must_use]
    pub fn key_epoch(&self) -> u32 {
        self.key.map_or(1, |notice| notice.epoch)
    }

    /// The member of that name.
    #[must_use]
    pub fn member_named(&self, name: &str) -> Option<&Member> {
        self.members.values().find(|member| member.name == name)
    }

    /// The bytes of a snapshot.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let encoded = postcard::to_extend(self, vec![FORMAT]);
        assert!(encoded.is_ok(), "the state has no part that cannot be encoded");
        encoded.unwrap_or_default()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// When it is of another format or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, crate::command::DecodeCommandError> {
        use crate::command::DecodeCommandError;
        match bytes.split_first() {
            Some((&FORMAT, body)) => postcard::from_bytes(body)
                .map_err(|error| DecodeCommandError::Damaged { detail: error.to_string() }),
            Some((&found, _)) => Err(DecodeCommandError::Format { found }),
            None => Err(DecodeCommandError::Damaged { detail: "it is empty".to_owned() }),
        }
    }
}
