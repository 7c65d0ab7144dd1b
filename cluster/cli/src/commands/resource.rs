//! `haven resource …`

use haven_api::{ApiError, RequestBody};

use super::{Session, wait_of};
use crate::args::Resource;

pub(super) fn run(command: Resource, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    match command {
        Resource::Move { resource, node, waiting } => {
            let (wait, timeout_ms) = wait_of(&waiting);
            let body = RequestBody::ResourceMove { resource, node, wait, timeout_ms };
            session.change(body, Some(&waiting))
        }
        Resource::Clear { resource } => {
            session.change(RequestBody::ResourceClear { resource }, None)
        }
        Resource::Start { resource, waiting } => {
            let (wait, timeout_ms) = wait_of(&waiting);
            session
                .change(RequestBody::ResourceStart { resource, wait, timeout_ms }, Some(&waiting))
        }
        Resource::Stop { resource, waiting } => {
            let (wait, timeout_ms) = wait_of(&waiting);
            session.change(RequestBody::ResourceStop { resource, wait, timeout_ms }, Some(&waiting))
        }
        Resource::Cleanup { resource, node } => {
            session.change(RequestBody::ResourceCleanup { resource, node }, None)
        }
    }
}
