//! `haven explain …`

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use haven_api::{ApiError, Code, ReplyBody, RequestBody};
use haven_base::WallTime;
use haven_cib::Cib;
use haven_policy::{Options, Question, explain};

use super::{Session, configure, unexpected};
use crate::args::ExplainArgs;

pub(super) fn run(args: ExplainArgs, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    let saved = args.xml_file.is_some();
    let text = match &args.xml_file {
        Some(file) => configure::read(file)?,
        None => live(session)?,
    };
    let read = if saved && !args.lenient {
        Cib::from_xml_as_named(&text)
    } else {
        Cib::from_xml_lenient(&text).map(|(cib, status, _)| (cib, status))
    };
    let (cib, status) = read.map_err(|error| ApiError::new(Code::BadData, error.to_string()))?;
    let now = match &args.set_datetime {
        Some(date) => haven_policy::parse_time(date).ok_or_else(|| {
            ApiError::new(Code::Usage, format!("`{date}` is no time"))
                .remedy("write it as in ISO 8601, 2026-01-31T09:00:00Z")
        })?,
        None => status.recorded_at.map_or_else(clock, WallTime::from_seconds),
    };
    let options = Options { sanitized: saved, ..Options::default() };
    let question = Question { resource: args.resource, node: args.node };
    let began = Instant::now();
    let mut go_on = || began.elapsed() < args.patience;
    let answer = explain(&cib, &status, now, &options, &question, &mut go_on).map_err(|error| {
        ApiError::new(Code::NoSuchObject, error.to_string())
            .remedy("`haven status` lists resources and nodes")
    })?;
    session.output.result(&answer, |_| answer.to_string())?;
    Ok(0)
}

/// What the coordinator plans with.
fn live(session: &Session<'_, '_>) -> Result<String, ApiError> {
    let reply = session.ask(RequestBody::PlanningInput)?;
    let ReplyBody::Configuration { text, .. } = reply else { return Err(unexpected(&reply)) };
    Ok(text)
}

fn clock() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
