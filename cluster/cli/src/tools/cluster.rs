//! `crm_node`, `crm_resource`, `crm_mon`: what agents ask about the cluster.

use clap::Parser;
use haven_api::{ApiError, Code, ReplyBody, RequestBody};

use super::{Step, answer};
use crate::commands;

/// `crm_node`: members and this node.
#[derive(Debug, Parser)]
pub(super) struct CrmNode {
    /// Name of this node
    #[arg(long, short = 'n')]
    name: bool,
    /// Name of the node with this number
    #[arg(long, short = 'N', value_name = "ID")]
    name_for_id: Option<u16>,
    /// Number of this node
    #[arg(long, short = 'i')]
    cluster_id: bool,
    /// Every node
    #[arg(long, short = 'l')]
    list: bool,
    /// Members of this partition
    #[arg(long, short = 'p')]
    partition: bool,
    /// 1 with quorum, 0 without
    #[arg(long, short = 'q')]
    quorum: bool,
    /// Print only the value
    #[arg(long, short = 'Q')]
    quiet: bool,
    /// More words; there are none
    #[arg(long, short = 'V', action = clap::ArgAction::Count)]
    verbose: u8,
}

/// `crm_resource`: where resources are, and cleaning up.
#[derive(Debug, Parser)]
pub(super) struct CrmResource {
    /// Name of the resource
    #[arg(long, short = 'r')]
    resource: Option<String>,
    /// Print where it runs
    #[arg(long, short = 'W')]
    locate: bool,
    /// Forget its failures
    #[arg(long, short = 'C')]
    cleanup: bool,
    /// Only on this node
    #[arg(long, short = 'N', visible_alias = "host-uname", short_alias = 'H')]
    node: Option<String>,
    /// Print only the value
    #[arg(long, short = 'q', short_alias = 'Q')]
    quiet: bool,
    /// More words; there are none
    #[arg(long, short = 'V', action = clap::ArgAction::Count)]
    verbose: u8,
}

pub(super) fn crm_node(args: &CrmNode) -> Result<Vec<Step>, ApiError> {
    let hello = |print: fn(&haven_api::Hello) -> String| {
        Step::Ask(
            RequestBody::Hello,
            Box::new(move |reply| {
                let ReplyBody::Hello(hello) = reply else {
                    return Err(commands::unexpected(reply));
                };
                Ok(print(hello))
            }),
        )
    };
    let status = |print: fn(&haven_api::Status) -> String| {
        Step::Ask(RequestBody::Status, Box::new(move |reply| answer::status(reply).map(print)))
    };
    let step = if args.list {
        status(answer::nodes)
    } else if args.partition {
        status(answer::partition)
    } else if args.quorum {
        status(|status| format!("{}\n", u8::from(status.quorum.quorate)))
    } else if args.cluster_id {
        hello(|hello| format!("{}\n", hello.node_id))
    } else if let Some(id) = args.name_for_id {
        name_for(id)
    } else if args.name {
        hello(|hello| format!("{}\n", hello.node))
    } else {
        return Err(ApiError::new(Code::Usage, "say what is wanted: -n, -N, -i, -l, -p or -q"));
    };
    Ok(vec![step])
}

fn name_for(id: u16) -> Step {
    let print = move |reply: &ReplyBody| {
        let status = answer::status(reply)?;
        let node = status.nodes.iter().find(|node| node.id == id);
        let name = node.map(|node| format!("{}\n", node.name));
        name.ok_or_else(|| {
            ApiError::new(Code::NoSuchObject, format!("no node has the number {id}"))
        })
    };
    Step::Ask(RequestBody::Status, Box::new(print))
}

pub(super) fn crm_resource(args: &CrmResource) -> Result<Vec<Step>, ApiError> {
    match (&args.resource, args.locate, args.cleanup) {
        (resource, _, true) => Ok(vec![Step::Change(RequestBody::ResourceCleanup {
            resource: resource.clone(),
            node: args.node.clone(),
        })]),
        (Some(resource), true, _) => {
            let (resource, quiet) = (resource.clone(), args.quiet);
            let print =
                move |reply: &ReplyBody| answer::located(answer::status(reply)?, &resource, quiet);
            Ok(vec![Step::Ask(RequestBody::Status, Box::new(print))])
        }
        (_, false, _) | (None, true, _) => Err(ApiError::new(
            Code::Usage,
            "agents can --locate and --cleanup a --resource; people have `haven resource`",
        )),
    }
}

/// Whatever its options: one look, as XML.
pub(super) fn crm_mon() -> Vec<Step> {
    let print = |reply: &ReplyBody| answer::status(reply).map(answer::monitor_xml);
    vec![Step::Ask(RequestBody::Status, Box::new(print))]
}
