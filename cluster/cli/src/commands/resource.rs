//! `haven resource …`

use haven_api::{ApiError, Code, ReplyBody, RequestBody, ResourceStatus};

use super::{Session, unexpected, wait_of};
use crate::args::{Resource, Waiting};
use crate::render;

#[allow(clippy::wildcard_enum_match_arm, reason = "every other one is a change")]
pub(super) fn run(command: Resource, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    match command {
        Resource::Locate { resource } => locate(&resource, session),
        Resource::Failures { resource, node } => failures(resource, node, session),
        change => {
            let (body, waiting) = asked(change)?;
            session.change(body, waiting.as_ref())
        }
    }
}

/// What a change asks of the daemon, and how long it may take.
fn asked(command: Resource) -> Result<(RequestBody, Option<Waiting>), ApiError> {
    let waits = |waiting: Waiting, body: &dyn Fn((bool, Option<u64>)) -> RequestBody| {
        (body(wait_of(&waiting)), Some(waiting))
    };
    Ok(match command {
        Resource::Move { resource, node, lifetime, waiting } => {
            waits(waiting, &|(wait, timeout_ms)| {
                let (resource, node, lifetime) = (resource.clone(), node.clone(), lifetime.clone());
                RequestBody::ResourceMove { resource, node, lifetime, wait, timeout_ms }
            })
        }
        Resource::Ban { resource, node, lifetime, waiting } => {
            waits(waiting, &|(wait, timeout_ms)| {
                let (resource, node, lifetime) = (resource.clone(), node.clone(), lifetime.clone());
                let lifetime_ms = None;
                RequestBody::ResourceBan { resource, node, lifetime_ms, lifetime, wait, timeout_ms }
            })
        }
        Resource::Start { resource, waiting } => waits(waiting, &|(wait, timeout_ms)| {
            RequestBody::ResourceStart { resource: resource.clone(), wait, timeout_ms }
        }),
        Resource::Stop { resource, waiting } => waits(waiting, &|(wait, timeout_ms)| {
            RequestBody::ResourceStop { resource: resource.clone(), wait, timeout_ms }
        }),
        Resource::Restart { resource, node, waiting } => waits(waiting, &|(wait, timeout_ms)| {
            let (resource, node) = (resource.clone(), node.clone());
            RequestBody::ResourceRestart { resource, node, wait, timeout_ms }
        }),
        Resource::Clear { resource, expired } => {
            (RequestBody::ResourceClear { resource, expired }, None)
        }
        Resource::Cleanup { resource, node } => {
            (RequestBody::ResourceCleanup { resource, node }, Some(UNTIL_ASKED))
        }
        Resource::Refresh { resource, node } => {
            (RequestBody::ResourceRefresh { resource, node }, Some(UNTIL_ASKED))
        }
        Resource::Trace { resource, operation } => {
            (RequestBody::ResourceTrace { resource, operation, on: true }, None)
        }
        Resource::Untrace { resource } => {
            let operation = String::new();
            (RequestBody::ResourceTrace { resource, operation, on: false }, None)
        }
        Resource::Locate { .. } | Resource::Failures { .. } => {
            return Err(ApiError::new(Code::Internal, "this changes nothing"));
        }
    })
}

/// What is forgotten is asked for again, which the daemon waits for by itself.
const UNTIL_ASKED: Waiting =
    Waiting { no_wait: false, timeout: std::time::Duration::from_secs(60) };

fn failures(
    resource: Option<String>,
    node: Option<String>,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let reply = session.ask(RequestBody::ResourceFailures { resource, node })?;
    let ReplyBody::Failures(rows) = &reply else { return Err(unexpected(&reply)) };
    session.output.result(&reply, |width| render::failures(rows, width))?;
    Ok(0)
}

fn locate(id: &str, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    let reply = session.ask(RequestBody::Status)?;
    let ReplyBody::Status(status) = &reply else { return Err(unexpected(&reply)) };
    let Some(found) = find(&status.resources, id) else {
        return Err(ApiError::new(Code::NoSuchObject, format!("there is no resource \"{id}\""))
            .remedy("haven status lists them"));
    };
    session.output.result(found, |_| render::located(found))?;
    Ok(0)
}

fn find<'a>(resources: &'a [ResourceStatus], id: &str) -> Option<&'a ResourceStatus> {
    resources.iter().find_map(|resource| match resource.id == id {
        true => Some(resource),
        false => find(&resource.children, id),
    })
}
