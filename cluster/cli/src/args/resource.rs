//! What may be typed after `haven resource`.

use clap::Subcommand;

use super::Waiting;
use crate::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Resource {
    /// Ask for a resource to run elsewhere
    ///
    /// The wish stays in force, and is shown by `haven status`, until its lifetime is over or `resource clear`.
    #[command(
        visible_alias = "migrate",
        after_long_help = "\
Examples:
  haven resource move vip n2
  haven resource move vip        anywhere but where it runs now
  haven resource move vip n2 --lifetime PT4H    for four hours
  haven resource clear vip"
    )]
    Move {
        /// Name of the resource
        resource: String,
        /// Name of the node; without it, anywhere but here
        node: Option<String>,
        /// How long: 30min, 4h, or ISO 8601: PT30M, P1DT12H, P1M; without it, until it is cleared
        #[arg(long, short = 'l', visible_short_alias = 'u', value_name = "DURATION", value_parser = duration::lifetime)]
        lifetime: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Forbid a resource a node
    ///
    /// The ban stays in force, and is shown by `haven status`, until its lifetime is over or `resource clear`.
    Ban {
        /// Name of the resource
        resource: String,
        /// Name of the node; without it, where it runs now
        node: Option<String>,
        /// How long: 30min, 4h, or ISO 8601: PT30M, P1DT12H, P1M; without it, until it is cleared
        #[arg(long, short = 'l', visible_short_alias = 'u', value_name = "DURATION", value_parser = duration::lifetime)]
        lifetime: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Forget earlier moves and bans of a resource
    #[command(
        visible_alias = "unmove",
        after_long_help = "\
Examples:
  haven resource clear vip             every move and ban of it
  haven resource clear --expired       of every resource, those whose time is over"
    )]
    Clear {
        /// Name of the resource
        #[arg(required_unless_present = "expired")]
        resource: Option<String>,
        /// Only those whose time is over; without a resource, of every one
        #[arg(long)]
        expired: bool,
    },
    /// Set a resource's target role to Started
    Start {
        /// Name of the resource
        resource: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Set a resource's target role to Stopped
    Stop {
        /// Name of the resource
        resource: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Stop a resource where it runs and start it again
    ///
    /// What depends on it is restarted in order. Nothing is written into the configuration.
    Restart {
        /// Name of the resource
        resource: String,
        /// Only on this node
        #[arg(long)]
        node: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Forget failures, of one resource or of all
    Cleanup {
        /// Name of the resource; every one without it
        resource: Option<String>,
        /// Only failures on this node
        #[arg(long)]
        node: Option<String>,
    },
    /// Forget failures and all else that is known, and ask anew what runs
    ///
    /// What runs under a lease keeps its history: nobody else knows which lease it runs under.
    #[command(visible_alias = "reprobe")]
    Refresh {
        /// Name of the resource; every one without it
        resource: Option<String>,
        /// Only on this node
        #[arg(long)]
        node: Option<String>,
    },
    /// Show how often what failed where
    #[command(visible_alias = "failcount")]
    Failures {
        /// Name of the resource; every one without it
        resource: Option<String>,
        /// Only on this node
        #[arg(long)]
        node: Option<String>,
    },
    /// Say where a resource runs
    Locate {
        /// Name of the resource
        resource: String,
    },
    /// Have an OCF agent note down each command of an operation
    Trace {
        /// Name of the resource, a primitive
        resource: String,
        /// The operation
        #[arg(default_value = "monitor")]
        operation: String,
    },
    /// End every trace of a resource
    Untrace {
        /// Name of the resource, a primitive
        resource: String,
    },
}
