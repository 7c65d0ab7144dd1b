//! What may be typed after `haven node attribute NODE`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use haven_api::AttributeLifetime;

use crate::duration;

/// How long an attribute lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum LifetimeArg {
    /// In the configuration, until it is deleted
    #[default]
    Forever,
    /// In the status, until the node's life ends
    Reboot,
}

impl From<LifetimeArg> for AttributeLifetime {
    fn from(lifetime: LifetimeArg) -> Self {
        match lifetime {
            LifetimeArg::Forever => Self::Forever,
            LifetimeArg::Reboot => Self::Reboot,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Attribute {
    /// Set an attribute
    Set {
        /// Name of the attribute
        name: String,
        /// Its value; `value++` and `value+=N` count from the present one
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// How long it lives
        #[arg(long, short = 'l', value_enum, default_value_t)]
        lifetime: LifetimeArg,
        /// Hold changes back until this has passed since the last one on any node; with --lifetime reboot
        #[arg(long, short = 'd', value_name = "DURATION", value_parser = duration::parse)]
        delay: Option<Duration>,
        /// Known to all nodes, never used for planning; with --lifetime reboot
        #[arg(long, short = 'p')]
        private: bool,
    },
    /// Print the value in force
    #[command(visible_alias = "show")]
    Get {
        /// Name of the attribute
        name: String,
        /// Of this lifetime only; without it, the transient value comes first
        #[arg(long, short = 'l', value_enum)]
        lifetime: Option<LifetimeArg>,
    },
    /// Delete an attribute
    Delete {
        /// Name of the attribute
        name: String,
        /// Of this lifetime only; without it, both
        #[arg(long, short = 'l', value_enum)]
        lifetime: Option<LifetimeArg>,
    },
    /// Show every attribute of the node
    List,
}
