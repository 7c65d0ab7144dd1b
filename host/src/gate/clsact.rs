//! Hooks through the `clsact` queueing discipline and `cls_bpf` filters, for kernels before 6.6.
//!
//! A filter belongs to the device and stays when the process dies. Each gate has a filter handle of its
//! own, so that replacing a program is one atomic exchange.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::netlink::{
    Channel, Message, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, attribute, attributes, text, word,
};
use crate::bpf::{Hook, Program};

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;
const NLM_F_ECHO: u16 = 8;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const DIRECT_ACTION: u32 = 1;
/// Length of `struct tcmsg`.
const HEADER: usize = 20;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const CLSACT_PARENT: u32 = 0xffff_fff1;
/// The first priority there is: ahead of other filters.
const PRIORITY: u32 = 1;
const ETH_P_ALL: u16 = 3;

/// The group that hears of queueing disciplines and filters.
pub(super) const RTNLGRP_TC: u32 = 4;

/// Whether a message of [`RTNLGRP_TC`] tells of something taken away. What is put there is none of the gate's
/// concern; and kernels tell this group of mere questions, too, as if something were new: looking at the device
/// for each would end in asking again.
pub(super) const fn takes_away(kind: u16) -> bool {
    matches!(kind, RTM_DELQDISC | RTM_DELTFILTER)
}

/// A BPF filter on a device's hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) program_id: u32,
}

const fn parent(hook: Hook) -> u32 {
    match hook {
        Hook::Ingress => 0xffff_fff2,
        Hook::Egress => 0xffff_fff3,
    }
}

fn header(device: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, device, handle, parent, info].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn filter_header(device: u32, handle: u32, hook: Hook) -> Vec<u8> {
    let info = PRIORITY << 16 | u32::from(ETH_P_ALL.to_be());
    header(device, handle, parent(hook), info)
}

/// The BPF filters on the device's hook; none where there is no `clsact`.
pub(super) fn filters(channel: &mut Channel, device: u32, hook: Hook) -> io::Result<Vec<Filter>> {
    let request = Message::new(RTM_GETTFILTER, NLM_F_DUMP, &header(device, 0, parent(hook), 0));
    let answers = match channel.request(request) {
        Ok(answers) => answers,
        Err(e)
            if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOENT | libc::EOPNOTSUPP)) =>
        {
            return Ok(Vec::new());
        }
        Err(e) => return Err(e),
    };
    let found = answers.iter().filter_map(|answer| {
        let body = answer.payload.get(HEADER..)?;
        let options = attributes(body).find_map(|(k, v)| (k == TCA_OPTIONS).then_some(v))?;
        Some(Filter {
            name: attribute(options, TCA_BPF_NAME).map(text)?,
            program_id: word(attribute(options, TCA_BPF_ID)?, 0),
        })
    });
    Ok(found.collect())
}

/// Puts `program` on the device's hook under `handle`, in place of what has that handle.
pub(super) fn put(
    channel: &mut Channel,
    device: u32,
    hook: Hook,
    handle: u32,
    (program, name): (&Program, &str),
) -> io::Result<()> {
    let qdisc = Message::new(
        RTM_NEWQDISC,
        super::netlink::NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        &header(device, CLSACT_HANDLE, CLSACT_PARENT, 0),
    )
    .text(TCA_KIND, "clsact");
    match channel.acknowledged(qdisc) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => has_both_hooks(channel, device)?,
        Err(e) => return Err(e),
    }
    let fd: RawFd = program.as_raw_fd();
    let filter = Message::new(
        RTM_NEWTFILTER,
        super::netlink::NLM_F_ACK | NLM_F_CREATE,
        &filter_header(device, handle, hook),
    )
    .text(TCA_KIND, "bpf")
    .nest(TCA_OPTIONS, |options| {
        options
            .attribute(TCA_BPF_FD, &fd.to_ne_bytes())
            .text(TCA_BPF_NAME, name)
            .attribute(TCA_BPF_FLAGS, &DIRECT_ACTION.to_ne_bytes())
    });
    channel.acknowledged(filter)
}

/// Whether what is in the place of `clsact` is one. Under the older `ingress` the kernel takes a filter for egress, too,
/// and puts it on ingress.
fn has_both_hooks(channel: &mut Channel, device: u32) -> io::Result<()> {
    // The answer goes to whoever wants changes echoed; the acknowledgement after it ends the collection.
    let request = Message::new(
        RTM_GETQDISC,
        super::netlink::NLM_F_ACK | NLM_F_ECHO,
        &header(device, CLSACT_HANDLE, CLSACT_PARENT, 0),
    );
    let kind = channel.request(request)?.iter().find_map(|answer| {
        let body = answer.payload.get(HEADER..)?;
        (answer.kind == RTM_NEWQDISC).then(|| attribute(body, TCA_KIND).map(text))?
    });
    match kind.as_deref() {
        Some("clsact") => Ok(()),
        None => Err(io::Error::other(
            "the kernel does not say which queueing discipline is in the place of clsact; it is asked again at the \
             device's next change and every 30 s: `tc qdisc show dev DEVICE` shows it",
        )),
        Some(other) => Err(io::Error::other(format!(
            "the queueing discipline {other} is in the place of clsact: take it away (`tc qdisc del dev DEVICE {other}`); \
             its filters work under clsact, too"
        ))),
    }
}

/// Takes the filter with `handle` off the device's hook; the queueing discipline stays, others may use it.
pub(super) fn take(channel: &mut Channel, device: u32, hook: Hook, handle: u32) -> io::Result<()> {
    let request = Message::new(
        RTM_DELTFILTER,
        super::netlink::NLM_F_ACK,
        &filter_header(device, handle, hook),
    )
    .text(TCA_KIND, "bpf");
    channel.acknowledged(request)
}
