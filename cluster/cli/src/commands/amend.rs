//! `haven configure delete|rename|modgroup|set|filter|refresh|schema`

use std::io::Write as _;
use std::process::{Command, Stdio};

use haven_api::{
    ApiError, Code, Format, Load, LoadMode, ObjectEdit, ReplyBody, RequestBody, Version,
};
use haven_cib::{Cib, crm};

use super::configure::{committed, offline};
use super::{Session, unexpected};
use crate::args::{Amend, Committing, MemberVerb, PlaceVerb, Waiting};
use crate::duration;

/// How long `delete --stop` waits for each resource.
const STOPPING: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) fn run(command: Amend, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    match command {
        Amend::Delete { objects, stop, force, commit } => {
            if stop {
                stop_first(&objects, session)?;
            }
            change(ObjectEdit::Delete { objects }, force, commit, session)
        }
        Amend::Rename { object, to, commit } => {
            change(ObjectEdit::Rename { from: object, to }, false, commit, session)
        }
        Amend::Modgroup { group, verb, resource, place, member, commit } => {
            let edit = members(group, verb, resource, place.zip(member))?;
            change(edit, false, commit, session)
        }
        Amend::Set { path, value, commit } => {
            change(ObjectEdit::Set { path, value }, false, commit, session)
        }
        Amend::Filter { program, objects, message, force } => {
            filter(&program, &objects, message, force, session)
        }
    }
}

fn members(
    group: String,
    verb: MemberVerb,
    member: String,
    beside: Option<(PlaceVerb, String)>,
) -> Result<ObjectEdit, ApiError> {
    let (before, after) = match (verb, beside) {
        (MemberVerb::Remove, Some(_)) => {
            let message = "a member is taken out wherever it is";
            return Err(ApiError::new(Code::Usage, message)
                .remedy(format!("haven configure modgroup {group} remove {member}")));
        }
        (MemberVerb::Remove, None) => return Ok(ObjectEdit::RemoveMember { group, member }),
        (MemberVerb::Add, None) => (None, None),
        (MemberVerb::Add, Some((PlaceVerb::Before, other))) => (Some(other), None),
        (MemberVerb::Add, Some((PlaceVerb::After, other))) => (None, Some(other)),
    };
    Ok(ObjectEdit::AddMember { group, member, before, after })
}

fn change(
    edit: ObjectEdit,
    force: bool,
    commit: Committing,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let Committing { expect: expected, message } = commit;
    let asked = RequestBody::ConfigureChange { change: edit, expected, force, message };
    let reply = session.ask(asked)?;
    committed(&reply, true, session)
}

/// Stops those of the objects that are resources, one after the other.
fn stop_first(objects: &[String], session: &mut Session<'_, '_>) -> Result<(), ApiError> {
    let (_, cib) = in_force(session)?;
    let resources = crm::resources(&cib);
    for resource in objects.iter().filter(|object| resources.contains(object)) {
        let (wait, timeout_ms) = (true, Some(duration::millis(STOPPING)));
        let resource = resource.clone();
        let stop = RequestBody::ResourceStop { resource, wait, timeout_ms };
        session.change(stop, Some(&Waiting { no_wait: false, timeout: STOPPING }))?;
    }
    Ok(())
}

/// The configuration and its version.
fn in_force(session: &Session<'_, '_>) -> Result<(Version, Cib), ApiError> {
    let reply = session.ask(RequestBody::ConfigureShow { format: Format::Json })?;
    let ReplyBody::Configuration { version, text, .. } = reply else {
        return Err(unexpected(&reply));
    };
    let cib = serde_json::from_str(&text).map_err(|error| {
        ApiError::new(Code::Internal, format!("cannot read the configuration: {error}"))
            .remedy("use the same version of haven for the command and the daemon")
    })?;
    Ok((version, cib))
}

fn filter(
    program: &str,
    objects: &[String],
    message: Option<String>,
    force: bool,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let (version, cib) = in_force(session)?;
    let (ids, lines) = match objects {
        [] => (Vec::new(), crm::show(&cib)),
        some => crm::show_some(&cib, some).map_err(|findings| not_taken(offline(findings)))?,
    };
    let text = through(program, &lines)?;
    let (text, mode) = if objects.is_empty() {
        (text, LoadMode::Replace)
    } else {
        (replaced(&cib, &ids, &text)?, LoadMode::Replace)
    };
    let words = objects.iter().map(|object| format!(" {object}")).collect::<String>();
    let load = RequestBody::ConfigureLoad(Load {
        text,
        mode,
        expected: Some(version),
        force,
        message: Some(message.unwrap_or_else(|| format!("filter {program:?}{words}"))),
        ..Load::default()
    });
    let reply = session.ask(load)?;
    committed(&reply, true, session)
}

/// The whole configuration in which `text` takes the place of the objects `ids`.
fn replaced(cib: &Cib, ids: &[String], text: &str) -> Result<String, ApiError> {
    let found = |findings| not_taken(offline(findings));
    let loaded = crm::load(cib, text, crm::Mode::Update).map_err(found)?;
    let said: Vec<&str> = loaded.declared.iter().map(|(name, _)| name.as_str()).collect();
    let left_out: Vec<String> =
        ids.iter().filter(|id| !said.contains(&id.as_str())).cloned().collect();
    if left_out.is_empty() {
        return Ok(crm::show(&loaded.cib));
    }
    let cib = crm::delete(&loaded.cib, &left_out, &[]).map_err(found)?;
    Ok(crm::show(&cib))
}

fn not_taken(findings: Vec<haven_api::Finding>) -> ApiError {
    let message = "what the program printed cannot be taken; nothing was changed";
    ApiError::new(Code::BadData, message).findings(findings)
}

/// What a program makes of a text.
fn through(program: &str, text: &str) -> Result<String, ApiError> {
    let failed = |what: &str, error: &std::io::Error| {
        ApiError::new(
            Code::Failed,
            format!("cannot {what} `{program}`: {error}; nothing was changed"),
        )
    };
    let mut child = Command::new("/bin/sh")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed("run", &error))?;
    let input = child.stdin.take();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || {
        if let Some(mut input) = input {
            // Who does not read everything has seen enough.
            drop(input.write_all(text.as_bytes()));
        }
    });
    let ended = child.wait_with_output().map_err(|error| failed("read from", &error))?;
    // It only writes, to a pipe whose reader is gone.
    let _joined = writer.join();
    if !ended.status.success() {
        let message = format!("`{program}` ended with {}; nothing was changed", ended.status);
        return Err(
            ApiError::new(Code::Failed, message).remedy("try it: haven configure show | PROGRAM")
        );
    }
    String::from_utf8(ended.stdout).map_err(|_| {
        let message = format!("`{program}` printed something that is no text; nothing was changed");
        ApiError::new(Code::BadData, message)
    })
}

/// Prints what is in force; there is nothing else that could be read anew.
pub(super) fn refresh(session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    let (version, cib) = in_force(session)?;
    let objects = crm::objects(&cib).len();
    let facts = serde_json::json!({ "refreshed": { "version": version, "objects": objects } });
    session.output.result(&facts, |_| {
        let word = if objects == 1 { "object" } else { "objects" };
        format!("version {version} is in force, with {objects} {word}; each change is committed by itself\n")
    })?;
    Ok(0)
}

/// Shows or names the schema.
pub(super) fn schema(
    name: Option<String>,
    commit: Committing,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    if let Some(name) = name {
        return change(ObjectEdit::Schema { name }, false, commit, session);
    }
    let (_, cib) = in_force(session)?;
    let facts = serde_json::json!({ "schema": cib.validate_with });
    session.output.result(&facts, |_| match &cib.validate_with {
        Some(name) => format!("{name}\n"),
        None => "none is named: documents are those of the newest one\n".to_owned(),
    })?;
    Ok(0)
}

/// Prints some objects.
pub(super) fn show(objects: &[String], session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    let (_, cib) = in_force(session)?;
    let (_, lines) = crm::show_some(&cib, objects).map_err(|findings| {
        ApiError::new(Code::NoSuchObject, "not all of these objects are there")
            .findings(offline(findings))
    })?;
    session
        .output
        .result(&serde_json::json!({ "configuration": { "text": lines } }), |_| lines.clone())?;
    Ok(0)
}

#[cfg(test)]
#[path = "amend_tests.rs"]
mod tests;
