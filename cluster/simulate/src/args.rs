//! What may be typed: the options of `crm_simulate`, long and short.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

/// Show what the cluster would do, for a saved configuration and status or for the running cluster.
#[derive(Debug, Default, Parser)]
#[command(name = "simulate", disable_version_flag = true, args_override_self = true)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Args {
    /// Configuration and status to look at; `-` is standard input, which is also the default
    #[arg(short = 'x', long, value_name = "FILE", overrides_with_all = ["live_check", "xml_pipe"])]
    pub xml_file: Option<PathBuf>,
    /// Read configuration and status from standard input
    #[arg(short = 'p', long, overrides_with_all = ["live_check", "xml_file"])]
    pub xml_pipe: bool,
    /// Look at the running cluster
    #[arg(short = 'L', long, overrides_with_all = ["xml_file", "xml_pipe"])]
    pub live_check: bool,

    /// Pass over what no schema of Pacemaker knows, also in a document that names its schema
    #[arg(long)]
    pub lenient: bool,

    /// Decide what to do and show it
    #[arg(short = 'R', long)]
    pub run: bool,
    /// Carry that out on paper, too, and show what results
    #[arg(short = 'S', long)]
    pub simulate: bool,
    /// Like --simulate, and keep what results in the file that was read
    #[arg(short = 'X', long)]
    pub in_place: bool,
    /// Show node attributes
    #[arg(short = 'A', long)]
    pub show_attrs: bool,
    /// Show fail counts and failed operations
    #[arg(short = 'c', long)]
    pub show_failcounts: bool,
    /// Show placement scores
    #[arg(short = 's', long)]
    pub show_scores: bool,
    /// Show capacity and its use
    #[arg(short = 'U', long)]
    pub show_utilization: bool,
    /// Decide for each XML file of this folder and show how long it took
    #[arg(short = 'P', long, value_name = "FOLDER")]
    pub profile: Option<PathBuf>,
    /// With --profile: decide this often
    #[arg(short = 'N', long, value_name = "TIMES", default_value_t = 1)]
    pub repeat: u32,
    /// Show operations under way (always done)
    #[arg(short = 'j', long, hide = true)]
    pub pending: bool,

    /// Bring this node online first
    #[arg(short = 'u', long, value_name = "NODE")]
    pub node_up: Vec<String>,
    /// Take this node offline first, cleanly
    #[arg(short = 'd', long, value_name = "NODE")]
    pub node_down: Vec<String>,
    /// Let this node be lost first
    #[arg(short = 'f', long, value_name = "NODE")]
    pub node_fail: Vec<String>,
    /// Let this operation have had this result first: RESOURCE_OPERATION_INTERVALMS@NODE=RC
    #[arg(short = 'i', long, value_name = "OPSPEC")]
    pub op_inject: Vec<String>,
    /// Let this operation have this result when it is carried out: RESOURCE_OPERATION_INTERVALMS@NODE=RC
    #[arg(short = 'F', long, value_name = "OPSPEC")]
    pub op_fail: Vec<String>,
    /// Decide as if it were this time (ISO 8601)
    #[arg(short = 't', long, value_name = "TIME", allow_hyphen_values = true)]
    pub set_datetime: Option<String>,
    /// Say whether there is quorum
    #[arg(short = 'q', long, value_name = "BOOL")]
    pub quorum: Option<String>,
    /// Say whether there is an active watchdog device
    #[arg(short = 'w', long, value_name = "BOOL")]
    pub watchdog: Option<String>,
    /// Grant this ticket first
    #[arg(short = 'g', long, value_name = "TICKET")]
    pub ticket_grant: Vec<String>,
    /// Revoke this ticket first
    #[arg(short = 'r', long, value_name = "TICKET")]
    pub ticket_revoke: Vec<String>,
    /// Put this ticket into standby first
    #[arg(short = 'b', long, value_name = "TICKET")]
    pub ticket_standby: Vec<String>,
    /// Take this ticket out of standby first
    #[arg(short = 'e', long, value_name = "TICKET")]
    pub ticket_activate: Vec<String>,

    /// Write here what the decision is made for, as XML
    #[arg(short = 'I', long, value_name = "FILE")]
    pub save_input: Option<PathBuf>,
    /// Write here what results, as XML
    #[arg(short = 'O', long, value_name = "FILE")]
    pub save_output: Option<PathBuf>,
    /// Write the transition graph here, as XML
    #[arg(short = 'G', long, value_name = "FILE")]
    pub save_graph: Option<PathBuf>,
    /// Write the transition graph here, for Graphviz
    #[arg(short = 'D', long, value_name = "FILE")]
    pub save_dotfile: Option<PathBuf>,
    /// With --save-dotfile: all actions thought of, not only those of the transition
    #[arg(short = 'a', long)]
    pub all_actions: bool,

    /// Print only what was asked for
    #[arg(short = 'Q', long)]
    pub quiet: bool,
    /// Number the actions in --save-dotfile; may be given more than once
    #[arg(short = 'V', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Form of the report: `text`; for programs use --json
    #[arg(long, value_name = "FORM", value_parser = ["text"], hide = true)]
    pub output_as: Option<String>,
    /// Write the report here
    #[arg(long, value_name = "FILE", hide = true)]
    pub output_to: Option<PathBuf>,
    /// Print everything as one JSON document and nothing else
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// Whether a decision is wanted at all; without one only the present state is shown.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.run
            || self.show_scores
            || self.show_utilization
            || self.save_graph.is_some()
            || self.save_dotfile.is_some()
            || self.json
            || self.executes()
    }

    /// Whether the decision is carried out on paper.
    #[must_use]
    pub fn executes(&self) -> bool {
        self.simulate || self.in_place || !self.op_fail.is_empty()
    }
}
