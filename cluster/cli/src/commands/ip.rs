//! `haven ip …`

use haven_api::{ApiError, ReplyBody, RequestBody};

use super::{Session, unexpected};
use crate::args::Ip;
use crate::render;

pub(super) fn run(command: &Ip, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    match command {
        Ip::Status => {
            let reply = session.ask(RequestBody::IpStatus)?;
            let ReplyBody::Addresses(rows) = &reply else { return Err(unexpected(&reply)) };
            session.output.result(&reply, |width| render::addresses(rows, width))?;
        }
        Ip::Why { address } => {
            let reply = session.ask(RequestBody::IpWhy { address: *address })?;
            let ReplyBody::Why(why) = &reply else { return Err(unexpected(&reply)) };
            session.output.result(&reply, |width| render::why(why, width))?;
        }
    }
    Ok(0)
}
