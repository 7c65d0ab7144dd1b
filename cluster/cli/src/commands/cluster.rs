//! `haven cluster …`

use haven_api::{ApiError, ReplyBody, RequestBody};
use serde::Serialize;

use super::{Session, unexpected};
use crate::args::Cluster;
use crate::{Initialised, Joined, duration};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Local<'a> {
    Initialised(&'a Initialised),
    Joined(&'a Joined),
}

pub(super) fn run(command: Cluster, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    match command {
        Cluster::Init => {
            let made = session.daemon.init(session.config)?;
            let config = session.config.display();
            session.output.result(&Local::Initialised(&made), |_| {
                format!(
                    "cluster \"{}\" created; {} is its first member, its keys and store are in {}\n\
                     next: haven node run --config {config}\n\
                     then: haven cluster token --config {config}   prints how other nodes join\n",
                    made.cluster,
                    made.node,
                    made.state.display()
                )
            })?;
            Ok(0)
        }
        Cluster::Join(how) => {
            let joined = session.daemon.join(session.config, &how)?;
            let config = session.config.display();
            session.output.result(&Local::Joined(&joined), |_| {
                let role = if joined.witness { "witness" } else { "full member" };
                format!(
                    "{} joined cluster \"{}\" as node {} ({role})\n\
                     next: haven node run --config {config}\n",
                    joined.node, joined.cluster, joined.node_id
                )
            })?;
            Ok(0)
        }
        Cluster::Token(args) => {
            let lifetime_ms = Some(duration::millis(args.lifetime));
            let reply = session.ask(RequestBody::ClusterToken { lifetime_ms })?;
            let ReplyBody::Token(token) = &reply else { return Err(unexpected(&reply)) };
            session.output.result(&reply, |_| {
                let cost = token.cost.as_ref().map(|cost| format!("# beware: {cost}\n"));
                format!(
                    "{}\n# admits one node once, within {}; with --witness it votes but runs nothing\n{}",
                    token.command,
                    duration::age(token.expires_in_ms),
                    cost.unwrap_or_default()
                )
            })?;
            Ok(0)
        }
        Cluster::Leave { force } => session.change(RequestBody::ClusterLeave { force }, None),
        Cluster::Remove { node, force } => {
            session.change(RequestBody::ClusterRemoveNode { node, force }, None)
        }
        Cluster::Handover { node } => session.change(RequestBody::Handover { to: node }, None),
        Cluster::RotateKey => {
            let reply = session.ask_showing_progress(RequestBody::KeyRotate)?;
            let ReplyBody::KeyRotated { generation } = &reply else {
                return Err(unexpected(&reply));
            };
            session.output.result(&reply, |_| {
                format!(
                    "heartbeats use key generation {generation}; older keys run out by themselves\n"
                )
            })?;
            Ok(0)
        }
    }
}
