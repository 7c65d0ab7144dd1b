//! `haven status`

use haven_api::{ApiError, ReplyBody, RequestBody};

use super::{Session, unexpected};
use crate::args::StatusArgs;
use crate::render;

pub(super) fn run(args: &StatusArgs, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    if args.watch {
        return watch(session);
    }
    let reply = session.ask(RequestBody::Status)?;
    let ReplyBody::Status(status) = &reply else { return Err(unexpected(&reply)) };
    let brief = args.brief;
    session.output.result(&reply, |width| {
        if brief { render::headline(status) } else { render::status(status, width) }
    })?;
    Ok(0)
}

/// Draws the status anew each second and at each event, with the latest events below, until the connection ends.
fn watch(session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    const EVENTS_SHOWN: usize = 8;
    let mut client = session.connect()?;
    let output = &mut *session.output;
    let mut events: Vec<String> = Vec::new();
    let mut picture: Option<Box<haven_api::Status>> = None;
    let body = RequestBody::Watch { after: None, interval_ms: None };
    let last = client.call_with(body, None, &mut |reply| {
        if output.json() {
            return output.json_line(&reply);
        }
        if let ReplyBody::Event(event) = &reply {
            events.push(render::event(event));
            let surplus = events.len().saturating_sub(EVENTS_SHOWN);
            events.drain(..surplus);
        } else if let ReplyBody::Status(status) = reply {
            picture = Some(status);
        } else {
            return Err(unexpected(&reply));
        }
        let Some(status) = &picture else { return Ok(()) };
        output.draw(|width| {
            let mut text = render::status(status, width);
            if !events.is_empty() {
                text.push_str("\nEvents\n");
                text.extend(events.iter().map(|event| format!("  {event}\n")));
            }
            text
        })
    })?;
    Err(unexpected(&last))
}
