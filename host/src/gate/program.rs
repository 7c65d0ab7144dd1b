//! What the kernel runs for every frame at the gate.
//!
//! ```text
//!            egress (what this host says)             ingress (what this host hears)
//!  IPv4/v6   source = closed address: drop            destination = closed address: drop
//!  ARP       sender = closed address: drop            request whose target = closed address: drop,
//!            sender 0 (probe), target = it: drop      unless it is an announcement (sender = target)
//!  ND        NA with target = closed address: drop    NS with target = closed address: drop
//!            NS from :: (DAD), target = it: drop
//! ```
//! Closed means: an entry exists and its group's deadline is missing or past. Everything else passes, above
//! all what the address's true owner sends us and what we send to it: a node that does not hold an address
//! stays a client of it like any other host.
//!
//! Of an open group that is about to be closed ([`REFUSES_NEWCOMERS`]) requests for new TCP connections are dropped on
//! the way in: whoever asks then is answered by the next owner, and who was accepted before gets an answer still. Those
//! behind IPv6 extension headers are not told apart and pass.
//!
//! A frame too short to judge, or one that hides its upper protocol behind more headers than are walked, is
//! dropped on the way out (no stack sends such) and passed on the way in (the stack drops it, or answers,
//! and the answer is judged).

use crate::bpf::asm::{
    AssembleError, Assembler, Condition, FRAME, Helper, Label, R0, R1, R2, R3, R4, R5, R6, R7, R8,
    R9, Register, Width,
};
use crate::bpf::{Hook, Map};

/// Verdict: the next program on the hook decides (`TCX_NEXT`, `TC_ACT_UNSPEC`).
pub(super) const PASS: i32 = -1;
/// Verdict: the frame ends here (`TCX_DROP`, `TC_ACT_SHOT`).
pub(super) const DROP: i32 = 2;

/// Flag of an entry: traffic passes whatever the lease.
pub(super) const TRAFFIC_FREE: u32 = 1;
/// Flag of an entry: ARP and ND for it never pass, lease or not.
pub(super) const CLAIM_NEVER: u32 = 2;

/// Bit of a deadline: the group is about to be closed, and takes no new TCP connections. The time it costs is 1 ns.
pub(super) const REFUSES_NEWCOMERS: u32 = 1;

/// In-line VLAN tags walked.
const MAX_TAGS: usize = 4;
/// IPv6 extension headers walked.
const MAX_EXTENSIONS: usize = 8;

const ETHERTYPE_IPV4: i32 = 0x0800;
const ETHERTYPE_ARP: i32 = 0x0806;
const ETHERTYPE_IPV6: i32 = 0x86dd;
const ETHERTYPES_VLAN: [i32; 3] = [0x8100, 0x88a8, 0x9100];

const NEXT_HOP_BY_HOP: i32 = 0;
const NEXT_TCP: i32 = 6;
const NEXT_ROUTING: i32 = 43;
const NEXT_FRAGMENT: i32 = 44;
const NEXT_AUTHENTICATION: i32 = 51;
const NEXT_ICMPV6: i32 = 58;
const NEXT_DESTINATION: i32 = 60;

/// RFC 9293 §3.1: flags of a TCP header.
const TCP_SYN: i32 = 0x02;
const TCP_ACK: i32 = 0x10;

const NEIGHBOR_SOLICITATION: i32 = 135;
const NEIGHBOR_ADVERTISEMENT: i32 = 136;

/// Fields of `struct __sk_buff`.
const SKB_PROTOCOL: i16 = 16;
const SKB_INGRESS_IFINDEX: i16 = 36;

/// Places on the stack.
const SCRATCH: i16 = -8; // up to 8 bytes
const GROUP: i16 = -16; // key of the deadline map
const HEADER: i16 = -64; // an IPv6 header, 40 bytes
const TARGET: i16 = -80; // an ND target, 16 bytes

/// How a device's frames begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Framing {
    /// An Ethernet header, then perhaps VLAN tags.
    Ethernet,
    /// Anything else (tunnels, PPP, IPoIB): the kernel says where the network header is.
    Other,
}

/// One of the programs the gate is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variant {
    pub(super) hook: Hook,
    pub(super) framing: Framing,
    /// On a bridge port only what this host itself sends there is judged: what is merely bridged belongs
    /// to others, and what goes up or down through the bridge device is judged there.
    pub(super) port: bool,
}

impl Variant {
    pub(super) const ALL: [Self; 5] = [
        Self::plain(Hook::Ingress, Framing::Ethernet),
        Self::plain(Hook::Ingress, Framing::Other),
        Self::plain(Hook::Egress, Framing::Ethernet),
        Self::plain(Hook::Egress, Framing::Other),
        Self { hook: Hook::Egress, framing: Framing::Ethernet, port: true },
    ];

    pub(super) const fn plain(hook: Hook, framing: Framing) -> Self {
        Self { hook, framing, port: false }
    }

    /// Three letters for the program's name.
    pub(super) const fn suffix(self) -> &'static str {
        match (self.hook, self.framing, self.port) {
            (Hook::Ingress, Framing::Ethernet, _) => "ine",
            (Hook::Ingress, Framing::Other, _) => "ino",
            (Hook::Egress, Framing::Ethernet, false) => "oue",
            (Hook::Egress, Framing::Other, _) => "ouo",
            (Hook::Egress, Framing::Ethernet, true) => "oup",
        }
    }
}

/// The three maps the programs read.
#[derive(Debug)]
pub(super) struct Maps {
    /// IPv4 address (4 bytes, network order) → group, flags (two native words).
    pub(super) ipv4: Map,
    /// IPv6 address (16 bytes, network order) → group, flags.
    pub(super) ipv6: Map,
    /// Group (native word) → deadline (native double word, nanoseconds of `CLOCK_BOOTTIME`; the lowest bit is
    /// [`REFUSES_NEWCOMERS`]).
    pub(super) deadlines: Map,
}

/// The code of one variant.
pub(super) fn code(variant: Variant, maps: &Maps) -> Result<Vec<u64>, AssembleError> {
    let mut asm = Assembler::new();
    let pass = asm.label();
    let drop = asm.label();
    let writer = Writer {
        asm,
        maps,
        variant,
        pass,
        drop,
        // An egress frame that cannot be judged is dropped, an ingress frame passes.
        opaque: match variant.hook {
            Hook::Ingress => pass,
            Hook::Egress => drop,
        },
    };
    writer.write()
}

/// A program that answers with the kernel's boot-time clock, divided by [`CLOCK_UNIT_NANOS`], low 32 bits.
pub(super) fn clock_code() -> Result<Vec<u64>, AssembleError> {
    let mut asm = Assembler::new();
    asm.call(Helper::BootTime);
    asm.shift_right(R0, 16);
    asm.exit();
    asm.assemble()
}

/// Resolution of [`clock_code`]'s answer.
pub(super) const CLOCK_UNIT_NANOS: u64 = 1 << 16;

/// R6 = context, R7 = offset in the frame, R8 = type of what begins there, R9 = an entry, then a deadline.
struct Writer<'m> {
    asm: Assembler,
    maps: &'m Maps,
    variant: Variant,
    pass: Label,
    drop: Label,
    opaque: Label,
}

impl Writer<'_> {
    fn write(mut self) -> Result<Vec<u64>, AssembleError> {
        self.asm.copy(R6, R1);
        if self.variant.port {
            self.asm.load(Width::Word, R1, R6, SKB_INGRESS_IFINDEX);
            self.asm.jump_if_imm(Condition::NotEqual, R1, 0, self.pass);
        }
        let (ipv4, ipv6, arp) = (self.asm.label(), self.asm.label(), self.asm.label());
        match self.variant.framing {
            Framing::Ethernet => self.ethernet(ipv4, ipv6, arp),
            Framing::Other => self.other(ipv4, ipv6, arp),
        }
        self.asm.bind(ipv4);
        self.ipv4();
        self.asm.bind(arp);
        self.arp();
        self.asm.bind(ipv6);
        self.ipv6();
        self.asm.bind(self.pass);
        self.asm.set(R0, PASS);
        self.asm.exit();
        self.asm.bind(self.drop);
        self.asm.set(R0, DROP);
        self.asm.exit();
        self.asm.assemble()
    }

    /// Skips the Ethernet header and VLAN tags. The frame itself is believed, not the kernel's note of its
    /// protocol: a raw socket sets that note as it likes.
    fn ethernet(&mut self, ipv4: Label, ipv6: Label, arp: Label) {
        self.asm.set(R7, 12);
        for _ in 0..=MAX_TAGS {
            let tagged = self.asm.label();
            self.read(R7, 0, SCRATCH, 2, self.pass);
            self.asm.load(Width::Half, R8, FRAME, SCRATCH);
            self.asm.from_network_half(R8);
            for ethertype in ETHERTYPES_VLAN {
                self.asm.jump_if_imm(Condition::Equal, R8, ethertype, tagged);
            }
            self.asm.add_imm(R7, 2);
            self.asm.jump_if_imm(Condition::Equal, R8, ETHERTYPE_IPV4, ipv4);
            self.asm.jump_if_imm(Condition::Equal, R8, ETHERTYPE_IPV6, ipv6);
            self.asm.jump_if_imm(Condition::Equal, R8, ETHERTYPE_ARP, arp);
            self.asm.jump(self.pass);
            self.asm.bind(tagged);
            self.asm.add_imm(R7, 4);
        }
        self.asm.jump(self.opaque);
    }

    /// Without an Ethernet header: ARP by the kernel's note (IPoIB), IP by its version number.
    fn other(&mut self, ipv4: Label, ipv6: Label, arp: Label) {
        self.asm.set(R7, 0);
        self.asm.load(Width::Word, R8, R6, SKB_PROTOCOL);
        self.asm.from_network_half(R8);
        self.asm.jump_if_imm(Condition::Equal, R8, ETHERTYPE_ARP, arp);
        self.read(R7, 0, SCRATCH, 1, self.pass);
        self.asm.load(Width::Byte, R8, FRAME, SCRATCH);
        self.asm.shift_right(R8, 4);
        self.asm.jump_if_imm(Condition::Equal, R8, 4, ipv4);
        self.asm.jump_if_imm(Condition::Equal, R8, 6, ipv6);
        self.asm.jump(self.pass);
    }

    /// RFC 791 §3.1: source at 12, destination at 16; every fragment carries both.
    fn ipv4(&mut self) {
        let offset = match self.variant.hook {
            Hook::Egress => 12,
            Hook::Ingress => 16,
        };
        self.read(R7, offset, SCRATCH, 4, self.opaque);
        self.entry_of_ipv4(SCRATCH);
        self.asm.load(Width::Word, R1, R9, 4);
        self.asm.jump_if_imm(Condition::AnyBit, R1, flag(TRAFFIC_FREE), self.pass);
        self.require_open();
        match self.variant.hook {
            Hook::Ingress => self.refuse_newcomer_ipv4(),
            Hook::Egress => self.asm.jump(self.pass),
        }
    }

    /// R9 = a deadline that has not come: RFC 791 §3.1, header length and fragment at 0 and 6, protocol at 9.
    fn refuse_newcomer_ipv4(&mut self) {
        self.pass_unless_leaving(self.pass);
        self.read(R7, 0, HEADER, 20, self.pass);
        self.asm.load(Width::Byte, R1, FRAME, HEADER + 9);
        self.asm.jump_if_imm(Condition::NotEqual, R1, NEXT_TCP, self.pass);
        // A later fragment carries no TCP header.
        self.asm.load(Width::Half, R1, FRAME, HEADER + 6);
        self.asm.from_network_half(R1);
        self.asm.and_imm(R1, 0x1fff);
        self.asm.jump_if_imm(Condition::NotEqual, R1, 0, self.pass);
        self.asm.load(Width::Byte, R1, FRAME, HEADER);
        self.asm.and_imm(R1, 0x0f);
        self.asm.shift_left(R1, 2);
        self.asm.add(R7, R1);
        self.drop_newcomer();
    }

    /// R9 = a deadline that has not come: goes to `admitted` unless its group is about to be closed.
    fn pass_unless_leaving(&mut self, admitted: Label) {
        let leaving = self.asm.label();
        self.asm.jump_if_imm(Condition::AnyBit, R9, flag(REFUSES_NEWCOMERS), leaving);
        self.asm.jump(admitted);
        self.asm.bind(leaving);
    }

    /// R7 = where a TCP header begins: drops what asks for a new connection, passes everything else.
    fn drop_newcomer(&mut self) {
        self.read(R7, 13, SCRATCH, 1, self.pass);
        self.asm.load(Width::Byte, R1, FRAME, SCRATCH);
        self.asm.and_imm(R1, TCP_SYN | TCP_ACK);
        self.asm.jump_if_imm(Condition::Equal, R1, TCP_SYN, self.drop);
        self.asm.jump(self.pass);
    }

    /// RFC 826: addresses follow a header of 8 bytes; hardware addresses are 6 bytes on Ethernet.
    fn arp(&mut self) {
        match self.variant.framing {
            Framing::Ethernet => self.asm.set(R8, 6),
            Framing::Other => {
                self.read(R7, 4, SCRATCH, 1, self.opaque);
                self.asm.load(Width::Byte, R8, FRAME, SCRATCH);
            }
        }
        let (judge, target) = (self.asm.label(), self.asm.label());
        // R7 → behind the sender's hardware address less 8.
        self.asm.add(R7, R8);
        self.read(R7, 8, SCRATCH, 4, self.opaque);
        self.asm.load(Width::Word, R9, FRAME, SCRATCH);
        match self.variant.hook {
            Hook::Egress => {
                // RFC 5227 §2.1: a probe has sender 0 and says "may I have the target?"
                self.asm.jump_if_imm(Condition::NotEqual, R9, 0, judge);
                self.asm.jump(target);
            }
            Hook::Ingress => self.asm.jump(target),
        }
        self.asm.bind(target);
        self.asm.add(R7, R8);
        self.read(R7, 12, SCRATCH, 4, self.opaque);
        if self.variant.hook == Hook::Ingress {
            // The owner announces itself: our neighbour table must learn of it.
            self.asm.load(Width::Word, R1, FRAME, SCRATCH);
            self.asm.jump_if(Condition::Equal, R1, R9, self.pass);
        }
        self.asm.bind(judge);
        self.entry_of_ipv4(SCRATCH);
        self.judge_claim();
    }

    /// RFC 8200 §3: next header at 6, source at 8, destination at 24.
    fn ipv6(&mut self) {
        self.read(R7, 0, HEADER, 40, self.opaque);
        let address = match self.variant.hook {
            Hook::Egress => HEADER + 8,
            Hook::Ingress => HEADER + 24,
        };
        let upper = self.asm.label();
        self.entry_of_ipv6(address, upper);
        self.asm.load(Width::Word, R1, R9, 4);
        self.asm.jump_if_imm(Condition::AnyBit, R1, flag(TRAFFIC_FREE), upper);
        self.require_open();
        if self.variant.hook == Hook::Ingress {
            self.pass_unless_leaving(upper);
            self.asm.load(Width::Byte, R8, FRAME, HEADER + 6);
            // Requests behind extension headers are not looked for.
            self.asm.jump_if_imm(Condition::NotEqual, R8, NEXT_TCP, upper);
            self.asm.add_imm(R7, 40);
            self.drop_newcomer();
        }
        self.asm.bind(upper);
        self.upper_ipv6();
    }

    /// Walks the extension headers to ICMPv6, if that is what the packet carries.
    fn upper_ipv6(&mut self) {
        let icmp = self.asm.label();
        self.asm.load(Width::Byte, R8, FRAME, HEADER + 6);
        self.asm.add_imm(R7, 40);
        for _ in 0..MAX_EXTENSIONS {
            let (options, fragment, authentication, next) =
                (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
            for (number, label) in [
                (NEXT_ICMPV6, icmp),
                (NEXT_HOP_BY_HOP, options),
                (NEXT_ROUTING, options),
                (NEXT_DESTINATION, options),
                (NEXT_FRAGMENT, fragment),
                (NEXT_AUTHENTICATION, authentication),
            ] {
                self.asm.jump_if_imm(Condition::Equal, R8, number, label);
            }
            self.asm.jump(self.pass);

            // RFC 8200 §4.3: length in units of 8 bytes, not counting the first.
            self.asm.bind(options);
            self.extension(2);
            self.asm.add_imm(R1, 1);
            self.asm.shift_left(R1, 3);
            self.asm.add(R7, R1);
            self.asm.jump(next);

            // RFC 4302 §2.2: length in units of 4 bytes, less 2.
            self.asm.bind(authentication);
            self.extension(2);
            self.asm.add_imm(R1, 2);
            self.asm.shift_left(R1, 2);
            self.asm.add(R7, R1);
            self.asm.jump(next);

            // RFC 8200 §4.5: a later fragment carries no upper header.
            self.asm.bind(fragment);
            self.extension(4);
            self.asm.load(Width::Half, R1, FRAME, SCRATCH + 2);
            self.asm.from_network_half(R1);
            self.asm.and_imm(R1, 0xfff8);
            self.asm.jump_if_imm(Condition::NotEqual, R1, 0, self.pass);
            self.asm.add_imm(R7, 8);

            self.asm.bind(next);
        }
        self.asm.jump_if_imm(Condition::Equal, R8, NEXT_ICMPV6, icmp);
        self.asm.jump(self.opaque);
        self.asm.bind(icmp);
        self.neighbor_discovery();
    }

    /// Reads the start of an extension header: R8 = what follows, R1 = its length field.
    fn extension(&mut self, bytes: i32) {
        self.read(R7, 0, SCRATCH, bytes, self.opaque);
        self.asm.load(Width::Byte, R8, FRAME, SCRATCH);
        self.asm.load(Width::Byte, R1, FRAME, SCRATCH + 1);
    }

    /// RFC 4861 §4.3, §4.4: type at 0, target at 8.
    fn neighbor_discovery(&mut self) {
        self.read(R7, 0, SCRATCH, 1, self.opaque);
        self.asm.load(Width::Byte, R8, FRAME, SCRATCH);
        match self.variant.hook {
            Hook::Ingress => {
                self.asm.jump_if_imm(Condition::NotEqual, R8, NEIGHBOR_SOLICITATION, self.pass);
            }
            Hook::Egress => {
                let target = self.asm.label();
                self.asm.jump_if_imm(Condition::Equal, R8, NEIGHBOR_ADVERTISEMENT, target);
                self.asm.jump_if_imm(Condition::NotEqual, R8, NEIGHBOR_SOLICITATION, self.pass);
                // RFC 4862 §5.4.2: duplicate address detection comes from the unspecified address. Any
                // other source merely asks for the owner.
                for half in [HEADER + 8, HEADER + 16] {
                    self.asm.load(Width::Double, R1, FRAME, half);
                    self.asm.jump_if_imm(Condition::NotEqual, R1, 0, self.pass);
                }
                self.asm.bind(target);
            }
        }
        self.read(R7, 8, TARGET, 16, self.opaque);
        self.entry_of_ipv6(TARGET, self.pass);
        self.judge_claim();
    }

    /// R9 = an entry: an ARP or ND message that speaks for its address passes only while the group is open.
    fn judge_claim(&mut self) {
        self.asm.load(Width::Word, R1, R9, 4);
        self.asm.jump_if_imm(Condition::AnyBit, R1, flag(CLAIM_NEVER), self.drop);
        self.require_open();
        self.asm.jump(self.pass);
    }

    /// R9 = an entry: goes on while its group's deadline is in the future, else drops. R9 = the deadline.
    fn require_open(&mut self) {
        self.asm.load(Width::Word, R1, R9, 0);
        self.asm.store(Width::Word, FRAME, GROUP, R1);
        self.lookup(&self.maps.deadlines, GROUP);
        self.asm.jump_if_imm(Condition::Equal, R0, 0, self.drop);
        self.asm.load(Width::Double, R9, R0, 0);
        // The clock is read after the deadline: a deadline that was current is compared with a later now.
        self.asm.call(Helper::BootTime);
        self.asm.jump_if(Condition::GreaterOrEqual, R0, R9, self.drop);
    }

    /// R9 = the entry of the IPv4 address at `key`; without one the frame passes.
    fn entry_of_ipv4(&mut self, key: i16) {
        self.lookup(&self.maps.ipv4, key);
        self.asm.jump_if_imm(Condition::Equal, R0, 0, self.pass);
        self.asm.copy(R9, R0);
    }

    /// R9 = the entry of the IPv6 address at `key`; without one goes to `absent`.
    fn entry_of_ipv6(&mut self, key: i16, absent: Label) {
        self.lookup(&self.maps.ipv6, key);
        self.asm.jump_if_imm(Condition::Equal, R0, 0, absent);
        self.asm.copy(R9, R0);
    }

    fn lookup(&mut self, map: &Map, key: i16) {
        self.asm.load_map(R1, map);
        self.asm.copy(R2, FRAME);
        self.asm.add_imm(R2, key.into());
        self.asm.call(Helper::MapLookup);
    }

    /// Copies `bytes` of the frame at `base + offset` to the stack at `to`; goes to `short` when they are
    /// not there.
    fn read(&mut self, base: Register, offset: i32, to: i16, bytes: i32, short: Label) {
        self.asm.copy(R1, R6);
        self.asm.copy(R2, base);
        if offset != 0 {
            self.asm.add_imm(R2, offset);
        }
        self.asm.copy(R3, FRAME);
        self.asm.add_imm(R3, to.into());
        self.asm.set(R4, bytes);
        match self.variant.framing {
            Framing::Ethernet => self.asm.call(Helper::LoadBytes),
            Framing::Other => {
                self.asm.set(R5, 1); // BPF_HDR_START_NET
                self.asm.call(Helper::LoadBytesRelative);
            }
        }
        self.asm.jump_if_imm(Condition::NotEqual, R0, 0, short);
    }
}

fn flag(bits: u32) -> i32 {
    bits.cast_signed()
}

#[cfg(test)]
mod tests;
