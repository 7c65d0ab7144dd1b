//! `haven events`

use haven_api::{ApiError, ReplyBody, RequestBody};

use super::{Session, unexpected};
use crate::args::EventsArgs;
use crate::render;

/// Prints events one a line; ends at the last, or with the connection.
pub(super) fn run(args: &EventsArgs, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    let (boot, after) = match args.after {
        Some((boot, cursor)) => (boot, Some(cursor)),
        None => (None, None),
    };
    let mut client = session.connect()?;
    let output = &mut *session.output;
    let body = RequestBody::Events { after, boot, follow: args.follow };
    let silence = (!args.follow).then_some(std::time::Duration::from_secs(15));
    let last = client.call_with(body, silence, &mut |reply| {
        if output.json() {
            return output.json_line(&reply);
        }
        if let ReplyBody::Event(event) = &reply {
            output.raw(&format!("{} {}\n", event.cursor, render::event(event)))
        } else if let ReplyBody::EventsMissed(missed) = &reply {
            output.note(&render::missed(missed));
            Ok(())
        } else {
            Err(unexpected(&reply))
        }
    })?;
    let ReplyBody::EventsEnd { cursor, boot } = &last else { return Err(unexpected(&last)) };
    if output.json() {
        output.json_line(&last)?;
    } else {
        output.note(&format!("go on with: haven events --follow --after {boot}/{cursor}"));
    }
    Ok(0)
}
