//! `haven configure delete|rename|modgroup|set|filter`

use clap::{Args, Subcommand, ValueEnum};
use haven_api::Version;

/// How a change of the configuration is committed.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Committing {
    /// Refuse unless this is the current version, as `configure show --json` prints it
    #[arg(long, value_name = "VERSION")]
    pub(crate) expect: Option<Version>,
    /// What the change is for, for the log; without it the command
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
}

/// What is done to the members of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum MemberVerb {
    /// Put a primitive into the group
    Add,
    /// Take a member out; it stands by itself afterwards
    Remove,
}

/// Where a new member of a group is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum PlaceVerb {
    /// It starts before the other
    Before,
    /// It starts after the other
    After,
}

/// Changes of objects by name.
#[derive(Debug, Subcommand)]
pub(crate) enum Amend {
    /// Delete objects, with the constraints about them
    ///
    /// What a deleted group or clone held stays, by itself. Groups that become empty, clones of what is gone, constraints
    /// and tags about it go, too. A resource that runs is not deleted without --stop or --force.
    #[command(
        visible_alias = "rm",
        after_long_help = "\
Examples:
  haven configure delete web                 a resource that is stopped, and what names it
  haven configure delete web vip --stop      stop them first, and wait for that
  haven configure delete vip-prefers-n1      a constraint
  haven configure undo                       have it back"
    )]
    Delete {
        /// Their ids; property, rsc_defaults and op_defaults mean all of those options
        #[arg(required = true)]
        objects: Vec<String>,
        /// Stop those that run first
        #[arg(long, conflicts_with = "force")]
        stop: bool,
        /// Delete what runs, too: the cluster stops what is no longer configured
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        commit: Committing,
    },
    /// Give an object another id, wherever it is named
    ///
    /// Groups, clones, constraints, tags, levels of fencing, users of a template and access control follow. A resource must
    /// be stopped: under its new name it is another one.
    #[command(after_long_help = "\
Examples:
  haven resource stop web
  haven configure rename web shop
  haven resource start shop")]
    Rename {
        /// Its id
        object: String,
        /// Its new id
        #[arg(value_name = "NEW")]
        to: String,
        #[command(flatten)]
        commit: Committing,
    },
    /// Put a primitive into a group, or take one out
    #[command(after_long_help = "\
Examples:
  haven configure modgroup site add log               behind the last member
  haven configure modgroup site add log after vip     between vip and what follows it
  haven configure modgroup site remove log            log stands by itself afterwards")]
    Modgroup {
        /// The group
        group: String,
        /// add or remove
        #[arg(value_enum)]
        verb: MemberVerb,
        /// The primitive
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// before or after
        #[arg(value_enum, requires = "member")]
        place: Option<PlaceVerb>,
        /// The member beside which it is put
        #[arg(value_name = "MEMBER")]
        member: Option<String>,
        #[command(flatten)]
        commit: Committing,
    },
    /// Set one value
    #[command(after_long_help = "\
A path is OBJECT.NAME for a value that is there already, a meta attribute, an option or a node's attribute;
OBJECT.params.NAME, OBJECT.meta.NAME, OBJECT.utilization.NAME or NODE.attributes.NAME for any;
OBJECT.op.OPERATION.NAME, or OBJECT.op.OPERATION-INTERVAL.NAME, for an operation.

Examples:
  haven configure set vip.ip 192.0.2.20
  haven configure set web.target-role Stopped
  haven configure set web.params.options -v
  haven configure set web.op.monitor.timeout 40s
  haven configure set property.maintenance-mode true")]
    Set {
        /// Where the value is
        path: String,
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        commit: Committing,
    },
    /// Send the configuration, or some of its objects, through a program
    ///
    /// The program gets the lines on its standard input, and what it prints takes their place. An object that it leaves out
    /// is deleted. Nothing is changed when it ends with another code than 0, or when somebody else was faster.
    #[command(after_long_help = "\
Examples:
  haven configure filter 'sed s/192.0.2.10/192.0.2.20/'
  haven configure filter 'sed s/timeout=20s/timeout=40s/' web vip
  haven configure filter 'grep -v ^#' type:primitive")]
    Filter {
        /// The program with its arguments, for the shell
        program: String,
        /// Only these objects: ids, or type:primitive and the like
        objects: Vec<String>,
        /// What the change is for, for the log; without it the command
        #[arg(long, short = 'm', value_name = "TEXT")]
        message: Option<String>,
        /// Load in spite of findings that are unsafe but not contradictory
        #[arg(long)]
        force: bool,
    },
}
