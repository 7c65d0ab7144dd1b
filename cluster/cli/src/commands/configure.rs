//! `haven configure …`

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::Command;

use haven_api::{
    ApiError, Code, Finding, Format, Load, LoadMode, ReplyBody, RequestBody, Severity, Version,
};
use haven_cib::{Cib, crm};

use super::{Session, amend, findings_below, unexpected};
use crate::args::{Configure, FormatArg};
use crate::render;

pub(super) fn run(command: Configure, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    match command {
        Configure::Amend(command) => amend::run(command, session),
        Configure::Refresh => amend::refresh(session),
        Configure::Schema { name, commit } => amend::schema(name, commit, session),
        Configure::Show { objects, format } if !objects.is_empty() => match format {
            FormatArg::Crm => amend::show(&objects, session),
            FormatArg::Xml | FormatArg::Json => {
                let message = "single objects are shown as lines only";
                Err(ApiError::new(Code::Usage, message)
                    .remedy("leave out --format, or the objects"))
            }
        },
        Configure::Show { format, .. } => {
            let reply = session.ask(RequestBody::ConfigureShow { format: format.into() })?;
            let ReplyBody::Configuration { text, .. } = &reply else {
                return Err(unexpected(&reply));
            };
            session.output.result(&reply, |_| text.clone())?;
            Ok(0)
        }
        Configure::Load { file, format, replace, expect, force, lenient, message } => {
            let whole = if replace { "--replace " } else { "" };
            let command = format!("configure load {whole}{}", file.display());
            let load = RequestBody::ConfigureLoad(Load {
                text: read(&file)?,
                format: format.into(),
                mode: mode(replace),
                expected: expect,
                force,
                lenient,
                message: message.or(Some(command)),
            });
            committed(&session.ask(load)?, false, session)
        }
        Configure::Edit { message } => edit(&editor(), message.as_deref(), session),
        Configure::Log { limit } => {
            let reply = session.ask(RequestBody::ConfigureLog { limit })?;
            let ReplyBody::ConfigurationLog(rows) = &reply else { return Err(unexpected(&reply)) };
            session.output.result(&reply, |_| render::commits(rows))?;
            Ok(0)
        }
        Configure::Diff { from, to } => {
            let reply = session.ask(RequestBody::ConfigureDiff { from, to })?;
            let ReplyBody::ConfigurationDiff { from, to, changes } = &reply else {
                return Err(unexpected(&reply));
            };
            session.output.result(&reply, |_| render::difference(*from, *to, changes))?;
            Ok(0)
        }
        Configure::Undo { version, message, force } => {
            let reply = session.ask(RequestBody::ConfigureUndo { version, message, force })?;
            committed(&reply, false, session)
        }
        Configure::Verify {
            file: Some(file),
            format: FormatArg::Crm,
            strict,
            offline: true,
            lenient,
            ..
        } => verdict(judge_alone(&read(&file)?, lenient, &session.daemon.facts()), strict, session),
        Configure::Verify { offline: true, .. } => {
            let message = "only crm lines can be judged without a daemon";
            Err(ApiError::new(Code::Usage, message).remedy("leave out --offline"))
        }
        Configure::Verify { file, format, replace, strict, lenient, offline: false } => {
            let text = file.as_deref().map(read).transpose()?;
            let verify = RequestBody::ConfigureVerify {
                text,
                format: format.into(),
                mode: mode(replace),
                lenient,
            };
            let reply = session.ask(verify)?;
            let ReplyBody::Verified { findings } = reply else { return Err(unexpected(&reply)) };
            verdict(findings, strict, session)
        }
    }
}

/// Loads lines as they were typed.
pub(super) fn declare(text: String, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    let load =
        RequestBody::ConfigureLoad(Load { message: Some(text.clone()), text, ..Load::default() });
    committed(&session.ask(load)?, false, session)
}

const fn mode(replace: bool) -> LoadMode {
    if replace { LoadMode::Replace } else { LoadMode::Update }
}

pub(super) fn read(file: &Path) -> Result<String, ApiError> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    read.map_err(|error| {
        let kind = error.kind();
        let refused = kind == io::ErrorKind::PermissionDenied;
        let code = if refused { Code::NoPermission } else { Code::BadData };
        let why = if kind == io::ErrorKind::InvalidData {
            "this is no text: its bytes are no UTF-8".to_owned()
        } else if kind == io::ErrorKind::NotFound {
            "there is no such file".to_owned()
        } else {
            error.to_string()
        };
        ApiError::new(code, format!("cannot read {}: {why}", file.display()))
    })
}

/// Prints what was committed, with `diff` also what that changed.
pub(super) fn committed(
    reply: &ReplyBody,
    diff: bool,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let ReplyBody::Committed { version, changed, findings } = reply else {
        return Err(unexpected(reply));
    };
    let diff = if diff && !session.output.json() && !changed.is_empty() {
        difference(*version, session)
    } else {
        String::new()
    };
    session.output.result(reply, |_| {
        let text = if changed.is_empty() {
            format!("nothing differs from version {version}\n")
        } else {
            format!("{diff}version {version} committed: {}\n", changed.join(", "))
        };
        findings_below(text, findings)
    })?;
    Ok(0)
}

/// What the change that made a version did; nothing where that cannot be learnt: the change is made all the same.
fn difference(made: Version, session: &Session<'_, '_>) -> String {
    let from = Version { epoch: made.epoch.saturating_sub(1), num_updates: 0, ..made };
    let asked = RequestBody::ConfigureDiff { from: Some(from), to: Some(made) };
    match session.ask(asked) {
        Ok(ReplyBody::ConfigurationDiff { from, to, changes }) => {
            render::difference(from, to, &changes)
        }
        Ok(_) | Err(_) => String::new(),
    }
}

/// Judges lines by themselves, with what is known without a daemon: neither nodes nor agents of others are judged.
fn judge_alone(text: &str, lenient: bool, known: &crm::Facts) -> Vec<Finding> {
    let unknowns = if lenient { crm::Unknowns::Keep } else { crm::Unknowns::Refuse };
    let attempt = crm::attempt(&Cib::default(), text, crm::Mode::Replace, unknowns);
    offline(attempt.verify(known))
}

/// Findings that were made without the daemon.
pub(super) fn offline(findings: Vec<crm::Finding>) -> Vec<Finding> {
    findings.into_iter().map(finding).collect()
}

fn finding(from: crm::Finding) -> Finding {
    Finding {
        code: from.code,
        severity: match from.severity {
            crm::Severity::Error => Severity::Error,
            crm::Severity::Warning => Severity::Warning,
            crm::Severity::Advice => Severity::Advice,
        },
        line: from.line,
        column: from.column,
        object: from.object,
        message: from.message,
        nearest: from.nearest,
        remedy: from.remedy,
    }
}

fn verdict(
    findings: Vec<Finding>,
    strict: bool,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let reply = ReplyBody::Verified { findings };
    let ReplyBody::Verified { findings } = &reply else { return Err(unexpected(&reply)) };
    session.output.result(&reply, |_| {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let mut text = render::findings(findings);
        text.push_str(&format!(
            "{errors} error{}, {warnings} warning{}\n",
            plural(errors),
            plural(warnings)
        ));
        text
    })?;
    let refused = errors > 0 || (strict && warnings > 0);
    Ok(if refused { Code::Configuration.exit_code() } else { 0 })
}

/// Shows the whole configuration in an editor and loads what comes back. A text that is refused stays
/// in its file, whose name the error tells.
fn edit(
    editor: &str,
    message: Option<&str>,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let reply = session.ask(RequestBody::ConfigureShow { format: Format::Crm })?;
    let ReplyBody::Configuration { version, text, .. } = reply else {
        return Err(unexpected(&reply));
    };
    let failed = |what: &str, error: &io::Error| {
        ApiError::new(Code::Failed, format!("cannot {what} the text to edit: {error}"))
    };
    let mut file = tempfile::Builder::new()
        .prefix("haven-")
        .suffix(".crm")
        .tempfile()
        .map_err(|error| failed("create a file for", &error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed("write", &error))?;
    loop {
        open_editor(editor, file.path())?;
        let edited = fs::read_to_string(file.path()).map_err(|error| failed("read", &error))?;
        if edited == text {
            session.output.note("nothing was changed");
            return Ok(0);
        }
        match load_edited(edited, version, message, session) {
            Ok(code) => return Ok(code),
            Err(error) if again(session, &error) => {}
            Err(error) => {
                let kept = file.keep().map_err(|error| failed("keep", &error.error))?.1;
                session.output.note(&format!("your text is kept in {}", kept.display()));
                return Err(error);
            }
        }
    }
}

fn load_edited(
    text: String,
    version: Version,
    message: Option<&str>,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let load = RequestBody::ConfigureLoad(Load {
        text,
        mode: LoadMode::Replace,
        expected: Some(version),
        message: Some(message.unwrap_or("configure edit").to_owned()),
        ..Load::default()
    });
    let reply = session.ask(load)?;
    committed(&reply, false, session)
}

fn editor() -> String {
    ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty()))
        .unwrap_or_else(|| "vi".to_owned())
}

fn open_editor(editor: &str, file: &Path) -> Result<(), ApiError> {
    // It may come with arguments, as in "code --wait".
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(file).status().map_err(|error| {
        ApiError::new(Code::Failed, format!("cannot run the editor {program}: {error}"))
            .remedy("set EDITOR to one that is installed")
    })?;
    if status.success() {
        return Ok(());
    }
    Err(ApiError::new(Code::Failed, format!("the editor {program} ended with {status}"))
        .remedy("nothing was changed"))
}

/// Asks a person whether to go on editing; programs are never asked.
fn again(session: &mut Session<'_, '_>, error: &ApiError) -> bool {
    let can_be_mended = matches!(error.code, Code::BadData | Code::Configuration | Code::Unsafe);
    if !can_be_mended || session.output.json() || !io::stdin().is_terminal() {
        return false;
    }
    session.output.note(render::error(error).trim_end());
    session.output.note("Edit again? [Y/n]");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok_and(|length| length > 0) && !answer.trim().eq_ignore_ascii_case("n")
}

#[cfg(test)]
#[path = "configure_tests.rs"]
mod tests;
