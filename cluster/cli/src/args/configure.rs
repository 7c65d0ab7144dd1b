//! `haven configure …`

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use haven_api::{Format, Version};

use super::{Amend, Committing};

/// Notations of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum FormatArg {
    /// Lines of the crm shell
    #[default]
    Crm,
    /// The CIB document of Pacemaker
    Xml,
    /// For programs
    Json,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Crm => Self::Crm,
            FormatArg::Xml => Self::Xml,
            FormatArg::Json => Self::Json,
        }
    }
}

const LINES: &str = "\
A configuration in lines of the crm shell:
  primitive vip ocf:haven:ip params ip=192.0.2.10 cidr_netmask=24 nic=eth0 op monitor interval=10s
  location vip-prefers-n1 vip 100: n1
  property no-quorum-policy=stop
A line goes on after a backslash; # starts a comment.";

#[derive(Debug, Subcommand)]
pub(crate) enum Configure {
    /// Print the configuration, or some of its objects
    #[command(after_long_help = LINES)]
    Show {
        /// Only these objects, each by its id, as property, rsc_defaults or op_defaults, or all of a type: type:primitive
        objects: Vec<String>,
        /// Notation; the whole configuration only in xml and json
        #[arg(long, short = 'f', value_enum, default_value_t)]
        format: FormatArg,
    },
    #[command(flatten)]
    Amend(Amend),
    /// Change the configuration as one transaction
    ///
    /// Objects in the file are added or replaced; with --replace every other object is removed. Every error
    /// is reported at once, with line, object and remedy; with any error nothing changes.
    #[command(after_long_help = LINES)]
    Load {
        /// The file; `-` reads standard input
        file: PathBuf,
        /// Notation
        #[arg(long, short = 'f', value_enum, default_value_t)]
        format: FormatArg,
        /// Remove every object that the file does not name
        #[arg(long)]
        replace: bool,
        /// Refuse unless this is the current version, as `configure show --json` prints it
        #[arg(long, value_name = "VERSION")]
        expect: Option<Version>,
        /// Load in spite of findings that are unsafe but not contradictory
        #[arg(long)]
        force: bool,
        /// Keep elements and attributes that no schema of Pacemaker knows, with a warning for each
        #[arg(long)]
        lenient: bool,
        /// What the change is for, for the log; without it the command line
        #[arg(long, short = 'm', value_name = "TEXT")]
        message: Option<String>,
    },
    /// Change the configuration in your editor ($VISUAL, $EDITOR, else vi)
    ///
    /// The result replaces the whole configuration, provided nobody else changed it meanwhile. With errors
    /// nothing changes; the text is kept, and you may edit it again.
    #[command(after_long_help = LINES)]
    Edit {
        /// What the change is for, for the log
        #[arg(long, short = 'm', value_name = "TEXT")]
        message: Option<String>,
    },
    /// Print the version in force and how many objects it has
    ///
    /// What the crm shell reads anew by this command is always read anew here: there is no working copy, each change is
    /// committed by itself, and `configure load` takes several at once.
    Refresh,
    /// Show or name the schema that documents in XML say they are written for
    #[command(after_long_help = "\
Examples:
  haven configure schema                    the one that is named
  haven configure schema pacemaker-4.0      name one; documents of older ones are read, never written")]
    Schema {
        /// The schema
        name: Option<String>,
        #[command(flatten)]
        commit: Committing,
    },
    /// Print who changed what, when and why, newest first
    ///
    /// The last 256 changes are kept on every node, and what they changed as long as that takes no more than 2 MiB.
    Log {
        /// So many changes at most
        #[arg(long, short = 'n', value_name = "N")]
        limit: Option<usize>,
    },
    /// Print what differs between two versions, or what the latest change did
    #[command(after_long_help = "\
Examples:
  haven configure diff                what the latest change did
  haven configure diff 0.12           what changed since version 0.12
  haven configure diff 0.12 0.14      what changed between the two")]
    Diff {
        /// The older version; without it the one before the latest change
        #[arg(value_name = "FROM")]
        from: Option<Version>,
        /// The newer version; without it the one in force
        #[arg(value_name = "TO", requires = "from")]
        to: Option<Version>,
    },
    /// Take one change back
    ///
    /// A new change that puts back what the other changed, and nothing else. Refused where somebody has changed the same
    /// since, where something else needs what would go, and where `verify` finds errors.
    #[command(after_long_help = "\
Examples:
  haven configure log
  haven configure undo                the latest change; again: take that back
  haven configure undo 0.12           the change that made version 0.12")]
    Undo {
        /// The version that the change made; without it the latest
        version: Option<Version>,
        /// What this is for, for the log
        #[arg(long, short = 'm', value_name = "TEXT")]
        message: Option<String>,
        /// Do it in spite of findings that are unsafe but not contradictory
        #[arg(long)]
        force: bool,
    },
    /// Judge a configuration, or the one in force, without changing anything
    #[command(after_long_help = "\
Examples:
  haven configure verify                 the configuration in force
  haven configure verify new.crm         a file, as `configure load new.crm` would take it
  haven configure verify --offline new.crm    a file, where no daemon runs")]
    Verify {
        /// The file; `-` reads standard input
        file: Option<PathBuf>,
        /// Notation
        #[arg(long, short = 'f', value_enum, default_value_t)]
        format: FormatArg,
        /// Judge the file as the whole configuration
        #[arg(long)]
        replace: bool,
        /// Fail on warnings, too
        #[arg(long)]
        strict: bool,
        /// Judge what loading with --lenient would keep: warnings instead of errors for what no schema knows
        #[arg(long)]
        lenient: bool,
        /// Ask no daemon: judge the lines by themselves, without what is known of nodes and of agents of others
        #[arg(long, requires = "file", conflicts_with = "replace")]
        offline: bool,
    },
}
