//! The one table of the agent's parameters and actions: parsing, metadata and help read it.

/// The kind of a parameter's value, as the OCF metadata names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Free text.
    String,
    /// A whole number.
    Integer,
    /// true, yes, on, 1 or false, no, off, 0.
    Boolean,
    /// One of these words.
    Select(&'static [&'static str]),
}

/// One parameter of the agent.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name, as resource-agents' IPaddr2 spells it where it has one.
    pub name: &'static str,
    /// An older spelling that is read, too.
    pub alias: Option<&'static str>,
    /// Kind of value.
    pub content: Content,
    /// Default in text form; empty when there is none.
    pub default: &'static str,
    /// Whether leaving it out is an error.
    pub required: bool,
    /// Whether no two resources may have the same value.
    pub unique: bool,
    /// One line.
    pub short: &'static str,
    /// The whole story.
    pub long: &'static str,
}

const fn row(
    name: &'static str,
    content: Content,
    default: &'static str,
    short: &'static str,
    long: &'static str,
) -> Parameter {
    Parameter { name, alias: None, content, default, required: false, unique: false, short, long }
}

/// Words `on-conflict` takes.
pub const ON_CONFLICT: &[&str] = &["defend", "yield", "fence", "alert"];
/// Words `reconcile` takes.
pub const RECONCILE: &[&str] = &["repair", "report", "off"];

/// Every parameter, in the order help shows them.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        required: true,
        unique: true,
        ..row(
            "ip",
            Content::String,
            "",
            "address(es) to hold",
            "IPv4 or IPv6 address, or several separated by commas or blanks. All of one list come \
             and go together.",
        )
    },
    row(
        "nic",
        Content::String,
        "",
        "interface",
        "Interface to put the address on: a name, or mac=ADDRESS, path=BUS or alt=ALTNAME. Left \
         out, the on-link route with the longest prefix that contains the address decides, then \
         the lowest metric. A link-local address needs it.",
    ),
    Parameter {
        alias: Some("netmask"),
        ..row(
            "cidr_netmask",
            Content::String,
            "",
            "prefix length",
            "Prefix length (24), or a dotted mask (255.255.255.0). Left out: that of the connected \
             route which contains the address, else 32 or 128.",
        )
    },
    row(
        "broadcast",
        Content::String,
        "",
        "broadcast address",
        "IPv4 broadcast address; + derives it with all host bits set, - with all host bits clear. \
         Left out: none.",
    ),
    row(
        "iflabel",
        Content::String,
        "",
        "label",
        "IPv4 label: the address appears as NIC:LABEL, at most 15 characters altogether.",
    ),
    row(
        "lvs_support",
        Content::Boolean,
        "false",
        "share the address with LVS real servers",
        "Take the same address off the loopback interface on start and put it back on stop, so \
         that a director can be a real server too. IPv4 and IPv6.",
    ),
    row(
        "lvs_ipv6_addrlabel",
        Content::Boolean,
        "true",
        "keep an IPv6 address from being chosen as source",
        "Give an IPv6 address a label of its own (RFC 6724), so that connections this host opens \
         do not start from it.",
    ),
    row(
        "lvs_ipv6_addrlabel_value",
        Content::Integer,
        "99",
        "that label's number",
        "Number of the label, 0 to 4294967294.",
    ),
    row(
        "preferred_lft",
        Content::String,
        "forever",
        "preferred lifetime",
        "Seconds until the address is no longer chosen as a source, or forever. 0 = never chosen.",
    ),
    row(
        "noprefixroute",
        Content::Boolean,
        "false",
        "make no route to the prefix",
        "Do not let the kernel add a route to the address's network.",
    ),
    row(
        "flush_routes",
        Content::Boolean,
        "false",
        "accepted, without effect",
        "Emptied the kernel's route cache on stop. Kernels since 3.6 have none.",
    ),
    row(
        "proto",
        Content::String,
        "",
        "address protocol number",
        "Protocol number (1 to 255) written on the address. Left out: 0x68, by which this agent \
         recognises its own addresses after a crash.",
    ),
    row(
        "network_namespace",
        Content::String,
        "",
        "refused",
        "The gate and the lease guard the namespace the daemon runs in; run a node inside the \
         other namespace instead.",
    ),
    row(
        "run_arping",
        Content::Boolean,
        "false",
        "probe before start",
        "IPv4: ask twice, a second apart, whether another station has the address (RFC 5227 \
         §2.1.1) and fail the start when one answers. Adds two seconds to each start.",
    ),
    row(
        "nodad",
        Content::Boolean,
        "false",
        "skip duplicate address detection",
        "IPv6: use the address at once. Under a lease that is done anyway: the lease proves that \
         nobody else has it.",
    ),
    row(
        "arp_interval",
        Content::Integer,
        "200",
        "milliseconds between announcements",
        "Spacing of a burst, 1 to 60000. Giving arp_interval or arp_count selects a burst of \
         arp_count frames, repeated after 5 s, in place of the schedule 0, 50, 200, 600, 1200, \
         2500, 5000 ms.",
    ),
    row(
        "arp_count",
        Content::Integer,
        "5",
        "announcements in a burst",
        "Frames in a burst, 1 to 100. See arp_interval.",
    ),
    row(
        "arp_count_refresh",
        Content::Integer,
        "0",
        "announcements on monitor",
        "Announcements sent on each monitor, 0 to 100. IPv4 and IPv6.",
    ),
    row(
        "arp_bg",
        Content::Boolean,
        "true",
        "announce in the background",
        "Start does not wait for the burst to end.",
    ),
    row(
        "arp_sender",
        Content::String,
        "",
        "accepted, without effect",
        "Only the built-in sender exists.",
    ),
    row(
        "send_arp_opts",
        Content::String,
        "",
        "accepted, without effect",
        "Only the built-in sender exists.",
    ),
    row(
        "check_link_status",
        Content::Boolean,
        "true",
        "an interface that is down counts as not running",
        "Monitor reports a failure while the interface, or the one below it, is down.",
    ),
    row(
        "unique_clone_address",
        Content::Boolean,
        "false",
        "clone instance k uses ip + k",
        "In a clone of another cluster engine, by `haven agent ip`, instance k holds ip + k. haven's own \
         clones have ip in each instance.",
    ),
    row(
        "announce",
        Content::String,
        "burst,confirm,refresh",
        "how to announce",
        "burst: the schedule after start. confirm: ask the gateway and neighbours from the \
         address whether they find it, and announce again until one answers. refresh: once more \
         every 60 s ± 10 %, below the ageing time of switches. none: nothing of these.",
    ),
    row(
        "verify-target",
        Content::String,
        "",
        "whom to ask for confirmation",
        "Addresses on the same link. Left out: gateways of default routes and up to 8 recently \
         active neighbours.",
    ),
    row(
        "mac",
        Content::String,
        "",
        "refused",
        "A hardware address that moves with the IP address is not offered: leave it out, \
         neighbours learn the new one by announcement.",
    ),
    row(
        "on-conflict",
        Content::Select(ON_CONFLICT),
        "defend",
        "when another station claims the address",
        "defend: announce at once, at most every 10 s (RFC 5227 §2.4), while the lease is valid. \
         yield: give the address up and fail. fence: keep it and fail the monitor; its on-fail \
         decides what follows, nobody is fenced for the claim itself. alert: report only. A start \
         whose probe or duplicate address detection finds another station fails with each of them.",
    ),
    row(
        "require-dev",
        Content::Boolean,
        "false",
        "fail when the interface is missing",
        "Without it a start on a missing interface is pending: the address follows as soon as the \
         interface appears.",
    ),
    row(
        "reconcile",
        Content::Select(RECONCILE),
        "repair",
        "when somebody changes the address",
        "repair: put it back at once. report: tell only. off: neither.",
    ),
];

/// One action of the agent.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// OCF name.
    pub name: &'static str,
    /// Default timeout in seconds.
    pub timeout_s: u32,
    /// Default interval in seconds; 0 is not recurring.
    pub interval_s: u32,
}

/// Every action with the defaults of IPaddr2.
pub const ACTIONS: &[Action] = &[
    Action { name: "start", timeout_s: 20, interval_s: 0 },
    Action { name: "stop", timeout_s: 20, interval_s: 0 },
    Action { name: "monitor", timeout_s: 20, interval_s: 10 },
    Action { name: "validate-all", timeout_s: 20, interval_s: 0 },
    Action { name: "meta-data", timeout_s: 5, interval_s: 0 },
];

/// The row of `name` or of the name it is an alias of.
#[must_use]
pub fn find(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|p| p.name == name || p.alias == Some(name))
}
