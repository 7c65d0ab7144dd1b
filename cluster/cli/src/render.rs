//! Replies as text: pure functions of the reply and the width.

mod attribute;
mod configure;
mod ip;
mod resource;
mod status;
mod table;

use std::collections::BTreeMap;

use haven_api::{ApiError, Event, EventsMissed, Finding, Severity};
use haven_base::WallTime;

pub use attribute::attributes;
pub use configure::{commits, difference};
pub use ip::{addresses, why};
pub use resource::{failures, located};
pub use status::{headline, status};

/// An error with its remedy, and every finding it carries.
#[must_use]
pub fn error(error: &ApiError) -> String {
    let mut text = findings(&error.findings);
    text.push_str(&format!("haven: {}\n", error.message));
    if let Some(remedy) = &error.remedy {
        text.push_str(&format!("  try: {remedy}\n"));
    }
    text
}

/// Findings, errors first, each with what to do.
#[must_use]
pub fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Advice] {
        for finding in findings.iter().filter(|finding| finding.severity == severity) {
            text.push_str(&one_finding(finding));
        }
    }
    text
}

fn one_finding(finding: &Finding) -> String {
    let place = match (finding.line, finding.column) {
        (Some(line), Some(column)) => format!("line {line}:{column}: "),
        (Some(line), None) => format!("line {line}: "),
        (None, _) => String::new(),
    };
    let object = finding.object.as_ref().map_or(String::new(), |object| format!("{object}: "));
    let mut text = format!(
        "{} {}: {place}{object}{}\n",
        finding.severity.word(),
        finding.code,
        finding.message
    );
    if let Some(nearest) = &finding.nearest {
        text.push_str(&format!("  did you mean \"{nearest}\"?\n"));
    }
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("  fix: {remedy}\n"));
    }
    text
}

/// An event on one line.
#[must_use]
pub fn event(event: &Event) -> String {
    format!("{} {} {} {}: {}", clock(event.at), event.node, event.code, event.subject, event.text)
}

/// What a reader of events cannot have.
#[must_use]
pub fn missed(missed: &EventsMissed) -> String {
    let EventsMissed { first, last, restarted } = missed;
    if *restarted {
        return format!(
            "the daemon started anew: events from {first} on of its earlier life are gone"
        );
    }
    format!("events {first}..{last} are gone")
}

/// Counters, one per line, in the order of their names.
#[must_use]
pub fn counters(counters: &BTreeMap<String, u64>) -> String {
    let widest = counters.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    counters.iter().map(|(name, value)| format!("{name:<widest$}  {value:>12}\n")).collect()
}

/// A civil time as RFC 3339 writes it, in UTC, to the millisecond.
fn clock(at: WallTime) -> String {
    let nanos = i32::try_from(at.nanos / 1_000_000 * 1_000_000).unwrap_or(0);
    jiff::Timestamp::new(at.seconds, nanos)
        .map_or_else(|_| format!("{} s", at.seconds), |timestamp| format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests {
    use haven_api::{Code, EventSeverity};

    use super::*;

    #[test]
    fn an_error_shows_findings_by_gravity_then_what_to_do() {
        let finding = |severity, line, message: &str| Finding {
            code: "HV0101".into(),
            severity,
            line: Some(line),
            column: Some(4),
            object: Some("vip".into()),
            message: message.into(),
            nearest: None,
            remedy: None,
        };
        let mut unknown = finding(Severity::Error, 7, "unknown parameter \"nick\"");
        unknown.nearest = Some("nic".into());
        unknown.remedy = Some("see `haven agent ip`".into());
        let failed = ApiError::new(Code::BadData, "nothing was loaded: 1 error")
            .remedy("mend the file")
            .findings(vec![finding(Severity::Warning, 2, "odd"), unknown]);
        assert_eq!(
            error(&failed),
            "error HV0101: line 7:4: vip: unknown parameter \"nick\"\n\
             \u{20} did you mean \"nic\"?\n\
             \u{20} fix: see `haven agent ip`\n\
             warning HV0101: line 2:4: vip: odd\n\
             haven: nothing was loaded: 1 error\n\
             \u{20} try: mend the file\n"
        );
    }

    #[test]
    fn an_event_is_one_line_with_its_time_in_utc() {
        let happened = Event {
            cursor: 3,
            at: WallTime { seconds: 1_700_000_000, nanos: 123_456_789 },
            node: "n2".into(),
            code: "HV2001".into(),
            severity: EventSeverity::Warning,
            subject: "node/n1".into(),
            text: "declared dead after 64 ms of silence on all links".into(),
        };
        assert_eq!(
            event(&happened),
            "2023-11-14T22:13:20.123Z n2 HV2001 node/n1: declared dead after 64 ms of silence on all links"
        );
    }
}
