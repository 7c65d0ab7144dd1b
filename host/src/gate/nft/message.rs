//! nf_tables messages: one function for each object the gate makes (`include/uapi/linux/netfilter/nf_tables.h`).

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::gate::netlink::{
    Channel, Message, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Received,
};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `NFPROTO_NETDEV`: chains at a device's ingress and egress, which see every protocol.
const NETDEV: u8 = 5;

const NEWTABLE: u16 = 0;
pub(super) const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const GETCHAIN: u16 = 4;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const GETSETELEM: u16 = 13;
const DELSETELEM: u16 = 14;

/// Flags of a table: it belongs to the socket that made it, and stays when that is closed (kernel 6.9).
pub(super) const OWNER_PERSIST: u32 = 2 | 4;

const SET_MAP: u32 = 8;
const SET_TIMEOUT: u32 = 16;
const DATA_VERDICT: u32 = 0xffff_ff00;

/// The length of `struct nfgenmsg`.
pub(super) const HEADER: usize = 4;

/// What becomes of a frame, or where its evaluation goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

impl Verdict {
    fn fill(&self, message: Message) -> Message {
        let (code, chain): (i32, Option<&str>) = match self {
            Self::Drop => (0, None),
            Self::Return => (-5, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
        };
        message.nest(2, |m| {
            let m = m.attribute(1, &code.to_be_bytes());
            match chain {
                Some(chain) => m.text(2, chain),
                None => m,
            }
        })
    }
}

/// A step of a rule; register 1 is the only one used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Register = what the kernel knows of the frame: 1 = its protocol, 16 = its upper protocol.
    Meta(u32),
    /// Register = `len` bytes at `offset` from header `base` (1 network, 2 transport).
    Payload { base: u32, offset: u32, len: u32 },
    /// The rule goes on when the register has this value.
    Is(&'a [u8]),
    /// Register = this value.
    Set(&'a [u8]),
    /// The rule goes on when the register is in the set.
    In(&'a str),
    /// The verdict is what the map has for the register, if anything.
    Decide(&'a str),
    /// The verdict.
    Verdict(Verdict),
}

const REGISTER: u32 = 1;

impl Step<'_> {
    fn fill(&self, list: Message) -> Message {
        let word = |value: u32| value.to_be_bytes();
        let register = word(REGISTER);
        let value = |m: Message, kind, bytes: &[u8]| m.nest(kind, |m| m.attribute(1, bytes));
        let expression = |name: &str, fill: &dyn Fn(Message) -> Message| {
            list.nest(1, |m| m.text(1, name).nest(2, fill))
        };
        match self {
            Self::Meta(key) => {
                expression("meta", &|m| m.attribute(2, &word(*key)).attribute(1, &register))
            }
            Self::Payload { base, offset, len } => expression("payload", &|m| {
                m.attribute(1, &register)
                    .attribute(2, &word(*base))
                    .attribute(3, &word(*offset))
                    .attribute(4, &word(*len))
            }),
            Self::Is(bytes) => expression("cmp", &|m| {
                value(m.attribute(1, &register).attribute(2, &word(0)), 3, bytes)
            }),
            Self::Set(bytes) => {
                expression("immediate", &|m| value(m.attribute(1, &register), 2, bytes))
            }
            Self::In(set) => expression("lookup", &|m| m.text(1, set).attribute(2, &register)),
            Self::Decide(map) => expression("lookup", &|m| {
                m.text(1, map).attribute(2, &register).attribute(3, &word(0))
            }),
            Self::Verdict(verdict) => {
                expression("immediate", &|m| m.attribute(1, &word(0)).nest(2, |m| verdict.fill(m)))
            }
        }
    }
}

/// Changes that take effect together or not at all.
#[derive(Debug)]
pub(super) struct Batch<'t> {
    table: &'t str,
    messages: Vec<Message>,
}

fn header(resource: u16) -> [u8; HEADER] {
    let [high, low] = resource.to_be_bytes();
    [NETDEV, 0, high, low]
}

const fn kind(message: u16) -> u16 {
    SUBSYSTEM << 8 | message
}

impl<'t> Batch<'t> {
    pub(super) const fn new(table: &'t str) -> Self {
        Self { table, messages: Vec::new() }
    }

    fn add(mut self, message: u16, flags: u16, fill: impl FnOnce(Message) -> Message) -> Self {
        // Every message has the table's name first, as attribute 1.
        let message = Message::new(kind(message), flags, &header(0)).text(1, self.table);
        self.messages.push(fill(message));
        self
    }

    /// Makes the table, or adopts one without an owner.
    pub(super) fn table(self, flags: u32) -> Self {
        self.add(NEWTABLE, NLM_F_CREATE, |m| m.attribute(2, &flags.to_be_bytes()))
    }

    pub(super) fn delete_table(self) -> Self {
        self.add(DELTABLE, 0, |m| m)
    }

    pub(super) fn chain(self, name: &str) -> Self {
        self.add(NEWCHAIN, NLM_F_CREATE, |m| m.text(3, name))
    }

    /// A chain at the hook of `device`; fails with EEXIST when there is one of that name.
    pub(super) fn base_chain(self, name: &str, hook: u32, device: &str) -> Self {
        self.add(NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, |m| {
            m.text(3, name)
                .nest(4, |m| {
                    m.attribute(1, &hook.to_be_bytes())
                        .attribute(2, &PRIORITY.to_be_bytes())
                        .text(3, device)
                })
                .text(7, "filter")
        })
    }

    pub(super) fn delete_chain(self, name: &str) -> Self {
        self.add(DELCHAIN, 0, |m| m.text(3, name))
    }

    /// Appends a rule to `chain`.
    pub(super) fn rule(self, chain: &str, steps: &[Step<'_>]) -> Self {
        // NLM_F_APPEND
        self.add(NEWRULE, NLM_F_CREATE | 0x800, |m| {
            m.text(2, chain).nest(4, |list| steps.iter().fold(list, |list, step| step.fill(list)))
        })
    }

    /// A map from keys of `key` bytes to verdicts.
    pub(super) fn map(self, name: &str, key: u32) -> Self {
        let id = self.id();
        self.add(NEWSET, NLM_F_CREATE, |m| {
            m.text(2, name)
                .attribute(3, &SET_MAP.to_be_bytes())
                .attribute(4, &0_u32.to_be_bytes())
                .attribute(5, &key.to_be_bytes())
                .attribute(6, &DATA_VERDICT.to_be_bytes())
                .attribute(7, &0_u32.to_be_bytes())
                .attribute(10, &id)
        })
    }

    /// A set of keys of `key` bytes; elements of a timed one expire.
    pub(super) fn set(self, name: &str, key: u32, timed: bool) -> Self {
        let id = self.id();
        let flags = if timed { SET_TIMEOUT } else { 0 };
        self.add(NEWSET, NLM_F_CREATE, |m| {
            m.text(2, name)
                .attribute(3, &flags.to_be_bytes())
                .attribute(4, &0_u32.to_be_bytes())
                .attribute(5, &key.to_be_bytes())
                .attribute(10, &id)
        })
    }

    /// Sets of one batch are told apart by a number, too.
    fn id(&self) -> [u8; 4] {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX).to_be_bytes()
    }

    /// Adds or removes one element.
    pub(super) fn element(self, set: &str, add: bool, element: &Element<'_>) -> Self {
        let (message, flags) = if add { (NEWSETELEM, NLM_F_CREATE) } else { (DELSETELEM, 0) };
        self.add(message, flags, |m| {
            m.text(2, set).nest(3, |list| {
                list.nest(1, |m| {
                    let mut m = m.nest(1, |m| m.attribute(1, element.key));
                    if let Some(verdict) = element.verdict {
                        m = m.nest(2, |m| verdict.fill(m));
                    }
                    if let Some(millis) = element.timeout_millis {
                        m = m.attribute(4, &millis.to_be_bytes());
                    }
                    if !element.note.is_empty() {
                        m = m.attribute(6, element.note);
                    }
                    m
                })
            })
        })
    }

    /// Removes all elements of `set`.
    pub(super) fn flush(self, set: &str) -> Self {
        self.add(DELSETELEM, 0, |m| m.text(2, set))
    }

    /// Sends the batch and waits until the kernel has put all of it in force, or none.
    pub(super) fn commit(self, channel: &mut Channel) -> io::Result<()> {
        let begin = Message::new(BATCH_BEGIN, 0, &[0, 0, 0, 10]);
        let end = Message::new(BATCH_END, 0, &[0, 0, 0, 10]);
        let mut bytes = begin.finish(channel.next_sequence());
        let first = channel.next_sequence();
        let mut last = first;
        let count = self.messages.len();
        for (place, message) in self.messages.into_iter().enumerate() {
            if place > 0 {
                last = channel.next_sequence();
            }
            let flags = if place + 1 == count { NLM_F_ACK } else { 0 };
            bytes.extend_from_slice(&message.with_flags(flags).finish(last));
        }
        bytes.extend_from_slice(&end.finish(channel.next_sequence()));
        channel.send(&bytes)?;
        channel.collect_batch(first..=last)
    }
}

/// Before any other chain of the device.
const PRIORITY: i32 = -500;

/// An element of a set or map.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Element<'a> {
    pub(super) key: &'a [u8],
    pub(super) verdict: Option<&'a Verdict>,
    pub(super) timeout_millis: Option<u64>,
    /// Kept by the kernel for us.
    pub(super) note: &'a [u8],
}

/// A socket for batches.
pub(super) fn open() -> io::Result<Channel> {
    Channel::open(NETLINK_NETFILTER)
}

/// A socket for news of changes by anybody.
pub(super) fn subscribe() -> io::Result<Channel> {
    const NFNLGRP_NFTABLES: u32 = 7;
    Channel::subscribe(NETLINK_NETFILTER, NFNLGRP_NFTABLES)
}

/// The chains of all tables of the family.
pub(super) fn chains(channel: &mut Channel) -> io::Result<Vec<Received>> {
    channel.request(Message::new(kind(GETCHAIN), NLM_F_DUMP, &header(0)))
}

/// The elements of `set`, as messages each holding a list of some.
pub(super) fn elements(channel: &mut Channel, table: &str, set: &str) -> io::Result<Vec<Received>> {
    let request =
        Message::new(kind(GETSETELEM), NLM_F_DUMP, &header(0)).text(1, table).text(2, set);
    channel.request(request)
}
