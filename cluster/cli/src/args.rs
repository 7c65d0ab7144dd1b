//! What may be typed. Help, completion and the manual page come from here.

mod amend;
mod attribute;
mod configure;
mod resource;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::duration;

pub(crate) use amend::{Amend, Committing, MemberVerb, PlaceVerb};
pub(crate) use attribute::{Attribute, LifetimeArg};
pub(crate) use configure::{Configure, FormatArg};
pub(crate) use resource::Resource;

/// Where a node's configuration is looked for when nothing else is said.
pub const DEFAULT_CONFIG: &str = "/etc/haven/haven.toml";

/// Environment variable that names it.
pub(crate) const CONFIG_VARIABLE: &str = "HAVEN_CONFIG";

#[derive(Debug, Parser)]
#[command(
    name = "haven",
    version,
    about = "A high-availability cluster for Linux: one address, one owner",
    long_about = "A high-availability cluster for Linux whose heart is moving addresses between nodes without \
                  ever having two owners.\n\n\
                  Commands talk to the daemon of this node over its control socket, which they find by the \
                  node's configuration file.",
    after_long_help = "\
Start here:
  haven cluster init                     create a cluster whose first member is this node
  haven node run                         run this node's daemon
  haven cluster token                    print the command that another node joins with
  haven status                           see how it is
  haven configure load vip.crm           give it something to do

Exit codes:
    0  success                              103  the configuration changed meanwhile
    1  carried out, and failed              105  no such object
   64  wrong usage                          106  no quorum
   65  malformed input                      107  unsafe without --force
   69  the daemon is not available          112  the outcome is unknown
   70  internal error                       114  no coordinator
   77  permission denied                    124  timed out
   78  configuration error                  130  haven lab was interrupted
  102  disconnected before the answer",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Configuration file of this node
    ///
    /// Without it the environment variable HAVEN_CONFIG names the file, else /etc/haven/haven.toml.
    #[arg(long, short = 'C', global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON document with the same content, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, join and leave a cluster
    #[command(subcommand, visible_alias = "c")]
    Cluster(Cluster),
    /// Show how the cluster is
    #[command(after_long_help = "\
The first line is the verdict: OK, DEGRADED (something failed, everything runs), AT RISK (the next failure may stop \
services, or an address is UNPROTECTED), DOWN (no quorum, or a service does not run), with the gravest cause.

Examples:
  haven status             one look
  haven status --watch     stay, and draw anew each second and at each event
  haven status --json      the same for programs
  haven status --watch --json | jq -c 'select(.event)'   only what happens")]
    Status(StatusArgs),
    /// Print what happened, and follow what happens
    ///
    /// Membership, verdicts, leases, operations, configuration: what this node saw, one line each. Every event has a cursor,
    /// from which a reader goes on without losing or repeating any; what is no longer kept is said.
    #[command(after_long_help = "\
Examples:
  haven events                          what is kept: the latest 4096
  haven events --follow                 what happens from now on
  haven events --follow --after 120     from event 121 on
  haven events --follow --json | jq -c 'select(.event.severity == \"error\")'")]
    Events(EventsArgs),
    /// Show, judge and change the configuration
    #[command(subcommand, visible_alias = "cfg")]
    Configure(Configure),
    /// Run this node, and take nodes out of service and back
    #[command(subcommand)]
    Node(Node),
    /// Move, start and stop resources
    #[command(subcommand, visible_alias = "rsc")]
    Resource(Resource),
    /// See who owns which address, and why
    #[command(subcommand)]
    Ip(Ip),
    /// Say why a resource is where it is, and what would change that
    ///
    /// Prints what becomes of each instance, every node with its score and the terms it is made of or what forbids it,
    /// what decided, and which single changes (a constraint removed, a score changed, failures forgotten, a node
    /// brought back …) would alter the result: the engine is run anew with each.
    #[command(after_long_help = "\
Examples:
  haven explain web                          in this cluster, now
  haven explain web --node n2                why there, or why not
  haven explain web --xml-file cib.xml       in a saved CIB, as `cibadmin --query` prints it
  haven explain web --json | jq .counterfactuals")]
    Explain(ExplainArgs),
    /// Type commands and configuration lines one after the other
    ///
    /// What `haven` alone does at a terminal. Tab completes from the cluster as it is (resources, nodes, attributes, agents,
    /// parameters and their values); `help X` explains a command, an option, an attribute or an agent; the history is kept.
    /// Elsewhere it reads one command a line from standard input and ends at the first that fails, with its exit code.
    #[command(after_long_help = "\
Examples:
  haven
  printf 'primitive web systemd:nginx\\nresource start web\\n' | haven shell")]
    Shell,
    /// Print the completion script of a shell
    #[command(after_long_help = "\
Examples:
  haven completion bash > /etc/bash_completion.d/haven
  haven completion zsh  > /usr/share/zsh/vendor-completions/_haven
  haven completion fish > ~/.config/fish/completions/haven.fish")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all pages to a directory
    #[command(after_long_help = "\
Examples:
  haven man | man -l -
  haven man --out /usr/local/share/man/man8")]
    Man {
        /// Write a page for each command into this directory
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Create a cluster whose only member is this node
    ///
    /// Makes this node's identity, the cluster's certificate authority and its keys, and a store with this
    /// node as the only member. Refused when the state directory already belongs to a cluster.
    #[command(after_long_help = "\
Examples:
  haven cluster init --config /etc/haven/haven.toml
  haven node run &
  until haven status >/dev/null 2>&1; do sleep 1; done
  haven cluster token")]
    Init,
    /// Join the cluster that made a token
    ///
    /// The token pins the cluster's certificate authority: this node talks to no other cluster, and the
    /// cluster gives its keys to no node without the token. A token admits one node once.
    #[command(after_long_help = "\
Examples:
  haven cluster join 10.77.0.1:5406 TOKEN
  haven cluster join 10.77.0.1:5406 TOKEN --witness   votes and answers beats, runs nothing")]
    Join(JoinArgs),
    /// Print the command that a new node joins with
    Token(TokenArgs),
    /// Leave the cluster for good
    ///
    /// Refused, unless forced, while resources run here (`haven node standby` moves them away first), and where two
    /// full nodes without a witness would be left to resources that need a lease.
    Leave {
        /// Leave although resources run here, or two nodes are left without a witness
        #[arg(long)]
        force: bool,
    },
    /// Remove another node that will not come back
    ///
    /// A node that is there goes once nothing runs on it (`haven node standby NODE` first), and its daemon ends. One that
    /// is away goes at once; its leases have ended by themselves. Refused, unless forced, where it may still run
    /// something with lease=off: switch it off first; so is one that is there where two full nodes without a witness
    /// would be left to resources that need a lease: let another member join first.
    #[command(after_long_help = "\
Examples:
  haven cluster remove n3             n3 is broken for good; its name and addresses are free for a new node
  haven cluster remove n3 --force     … and switched off, though it may have run something with lease=off")]
    Remove {
        /// Name of the node
        node: String,
        /// Remove it although resources run there, or may, or two nodes are left without a witness
        #[arg(long)]
        force: bool,
    },
    /// Hand the coordinator's duties to another node
    Handover {
        /// Name of the successor; without it the coordinator chooses
        node: Option<String>,
    },
    /// Make a new key for the heartbeats on all nodes
    RotateKey,
}

/// How to join.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct JoinArgs {
    /// Address of any member's reliable channel, ADDRESS:PORT
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// The token that `haven cluster token` printed there
    pub token: String,
    /// Vote and answer beats, but run nothing
    #[arg(long)]
    pub witness: bool,
}

fn token_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration::parse(text)?;
    let possible = Duration::from_secs(1)..=Duration::from_secs(24 * 3_600);
    match possible.contains(&lifetime) {
        true => Ok(lifetime),
        false => Err("a token is good for 1 s at least and 24 h at most".to_owned()),
    }
}

/// What kind of token is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct TokenArgs {
    /// How long it is good for, 1 s to 24 h
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = token_lifetime)]
    pub lifetime: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Id of a resource, of one of its instances, or of a group, clone or bundle
    pub(crate) resource: String,
    /// Ask about this node: why there, or why not
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// A saved CIB instead of this cluster; `-` reads standard input
    #[arg(long, short = 'x', value_name = "FILE")]
    pub(crate) xml_file: Option<PathBuf>,
    /// Pass over what no schema of Pacemaker knows, also in a saved CIB that names its schema
    #[arg(long, requires = "xml_file")]
    pub(crate) lenient: bool,
    /// Answer as of this time (ISO 8601)
    #[arg(long, short = 't', value_name = "DATE")]
    pub(crate) set_datetime: Option<String>,
    /// How long to look for changes that would alter the result
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) patience: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Stay, and draw anew each second and at each event
    #[arg(long, short = 'w')]
    pub(crate) watch: bool,
    /// Only the verdict line
    #[arg(long, short = 'b', conflicts_with = "watch")]
    pub(crate) brief: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Stay, and print each event as it happens
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Only events after this cursor; BOOT/CURSOR names the life of the daemon, too
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    pub(crate) after: Option<(Option<u64>, u64)>,
}

/// Reads `CURSOR` or `BOOT/CURSOR`.
fn cursor(text: &str) -> Result<(Option<u64>, u64), String> {
    let number = |text: &str| {
        text.parse().map_err(|_| format!("\"{text}\" is no number; give a cursor such as 120"))
    };
    match text.split_once('/') {
        Some((boot, cursor)) => Ok((Some(number(boot)?), number(cursor)?)),
        None => Ok((None, number(text)?)),
    }
}

/// Whether and how long to wait for a change to be carried out.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Waiting {
    /// Return as soon as the change is committed
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Run this node's daemon in the foreground
    #[command(after_long_help = "\
Logs go to standard error, one line each. TERM moves its resources away first, waits for their stops, and says what still \
runs if they cannot be stopped. Run `haven node drain` before a planned stop. A second TERM ends at once. `haven node restart` \
replaces the daemon without a gap.

The least that its configuration file says:
  [cluster]
  name = \"demo\"
  [node]
  name = \"n1\"
  [[link]]
  number = 0
  local = \"10.77.0.1\"    # this node's address on a network that the other nodes share

Examples:
  haven node run --config /etc/haven/haven.toml")]
    Run,
    /// Move everything off a node and keep it empty
    Standby {
        /// Name of the node; this one without it
        node: Option<String>,
        /// Only until its daemon starts anew
        #[arg(long)]
        until_reboot: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Take a node back from standby
    Online {
        /// Name of the node; this one without it
        node: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Move everything off a node, and say what stays
    ///
    /// The same as standby, for whoever is about to work on the machine: it ends well only when nothing runs there.
    Drain {
        /// Name of the node; this one without it
        node: Option<String>,
        /// Only until its daemon starts anew
        #[arg(long)]
        until_reboot: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Take the hands off a node: nothing on it is started, stopped or watched
    Maintenance {
        /// Name of the node; this one without it
        node: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Take a node back from maintenance
    Ready {
        /// Name of the node; this one without it
        node: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Say that a node is dead for certain, where no device can fence it
    #[command(after_long_help = "\
A resource that needs fencing stays where it was when its node is lost: nobody knows that it has ended there. Make sure that the \
node is off (power, not just network), then say so. The node must have been silent for a minute. What it ran starts elsewhere; if it \
runs there after all, it runs twice. Addresses under a lease are not concerned: they have moved already, or will when their lease \
ends. A confirmation is good for this one death.

Examples:
  haven node confirm-dead n3 --reason 'power supply burnt'
  haven node confirm-dead n3 --reason 'unplugged by J. in rack 7' --yes")]
    ConfirmDead {
        /// Name of the node
        node: String,
        /// How you know, for the log of commits
        #[arg(long)]
        reason: String,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Replace this node's daemon without interrupting its addresses
    ///
    /// The daemon obtains a long lease and replaces itself by the program that is now at its path (same process id, no
    /// supervisor needed); this command waits until the new one takes part again.
    Restart {
        /// Return as soon as the daemon is about to be replaced
        #[arg(long)]
        no_wait: bool,
        /// How long to wait
        #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration::parse)]
        timeout: Duration,
    },
    /// Show and change attributes of a node, which rules and agents read
    ///
    /// A permanent attribute is part of the configuration. A transient one (--lifetime reboot) belongs to the life
    /// of the node and needs no coordinator; with a delay its changes on all nodes come into force together.
    #[command(after_long_help = "\
Examples:
  haven node attribute n1 set rack 7
  haven node attribute n1 set pingd 100 --lifetime reboot --delay 5s
  haven node attribute n1 list")]
    Attribute {
        /// Name of the node
        node: String,
        #[command(subcommand)]
        action: Attribute,
    },
    /// Print what this node has counted: packets refused, beats lost, gate writes …
    Counters,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ip {
    /// Show every address with its owner and lease
    Status,
    /// Say who owns an address and what decided that
    #[command(after_long_help = "\
Examples:
  haven ip why 192.0.2.10
  haven ip why 2001:db8::10 --json")]
    Why {
        /// The address
        address: IpAddr,
    },
}
