//! Classic BPF programs that keep frames nobody asked for in the kernel.

use socket2::SockFilter;

// Opcodes of linux/bpf_common.h.
const LD_HALF: u16 = 0x28;
const LD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// Pass the whole frame.
const PASS: u32 = 0x0004_0000;

/// Offsets in an Ethernet frame (as packet sockets of type raw see it).
const ARP_OPERATION: u32 = 20;
const IPV6_NEXT_HEADER: u32 = 14 + 6;
const ICMPV6_TYPE: u32 = 14 + 40;
const ICMPV6: u32 = 58;

const fn statement(code: u16, value: u32) -> SockFilter {
    SockFilter::new(code, 0, 0, value)
}

const fn equal(value: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new(JUMP_EQUAL, then, otherwise, value)
}

/// Requests and replies; nothing else that calls itself ARP (RARP, InARP).
pub(super) const ARP: &[SockFilter] = &[
    statement(LD_HALF, ARP_OPERATION),
    equal(1, 1, 0),
    equal(2, 0, 1),
    statement(RETURN, PASS),
    statement(RETURN, 0),
];

/// Neighbour solicitations (135) and advertisements (136) without extension headers, which RFC 6980
/// and every implementation send that way.
pub(super) const NEIGHBOUR_DISCOVERY: &[SockFilter] = &[
    statement(LD_BYTE, IPV6_NEXT_HEADER),
    equal(ICMPV6, 0, 4),
    statement(LD_BYTE, ICMPV6_TYPE),
    equal(135, 1, 0),
    equal(136, 0, 1),
    statement(RETURN, PASS),
    statement(RETURN, 0),
];
