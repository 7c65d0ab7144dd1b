//! What an OCF agent finds in its environment (OCF resource agent API 1.1 §3.4), and how its answer is
//! understood.

use std::collections::BTreeMap;
use std::path::Path;

use haven_host::process::{CallError, Ended};
use haven_types::operation::{ExecutionStatus, OcfCode, Operation, Outcome};

/// Beginning of a line of standard error that tells the operator the reason.
pub const EXIT_REASON_PREFIX: &str = "ocf-exit-reason:";
/// Where programs are looked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest reason that is passed on, in characters.
const REASON_MAX: usize = 400;

/// The whole environment of one call. `more` comes from the node's configuration and yields to what the
/// standard names.
///
/// # Errors
/// The name of a parameter or a value that no environment can carry.
// spec: ocf-ra-1.1 3.4
pub fn of(
    operation: &Operation,
    root: &Path,
    more: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut environment = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    environment.extend(more.clone());
    let mut put = |name: String, value: &str| environment.insert(name, value.to_owned());
    put("OCF_ROOT".to_owned(), &root.to_string_lossy());
    put("OCF_RA_VERSION_MAJOR".to_owned(), "1");
    put("OCF_RA_VERSION_MINOR".to_owned(), "1");
    put("OCF_RESOURCE_INSTANCE".to_owned(), &operation.resource);
    put("OCF_RESOURCE_TYPE".to_owned(), &operation.agent.name);
    put("OCF_EXIT_REASON_PREFIX".to_owned(), EXIT_REASON_PREFIX);
    if let Some(provider) = &operation.agent.provider {
        put("OCF_RESOURCE_PROVIDER".to_owned(), provider);
    }
    let interval = operation.interval.as_millis().to_string();
    let timeout = operation.timeout.as_millis().to_string();
    put("OCF_RESKEY_CRM_meta_interval".to_owned(), &interval);
    put("OCF_RESKEY_CRM_meta_timeout".to_owned(), &timeout);
    put("OCF_RESKEY_CRM_meta_name".to_owned(), &operation.action);
    for (name, value) in &operation.meta {
        let name = name.strip_prefix("CRM_meta_").unwrap_or(name).replace('-', "_");
        if name == "OCF_CHECK_LEVEL" {
            put(name.clone(), value);
        }
        put(format!("OCF_RESKEY_CRM_meta_{name}"), value);
    }
    for (name, value) in &operation.params {
        if name == "OCF_CHECK_LEVEL" {
            put(name.clone(), value);
        }
        put(format!("OCF_RESKEY_{name}"), value);
    }
    let carried = |name: &str, value: &str| {
        !name.contains(['=', '\0']) && name != "OCF_RESKEY_" && !value.contains('\0')
    };
    match environment.iter().find(|(name, value)| !carried(name, value)) {
        Some((name, _)) => Err(format!(
            "parameter {:?} cannot be handed to an agent: a name is not empty and has no '=', and \
             nothing has a zero byte",
            name.trim_start_matches("OCF_RESKEY_")
        )),
        None => Ok(environment),
    }
}

/// What a child's end means. Every code is passed on: those that the standard does not name are soft
/// failures, whatever the agent meant by them.
#[must_use]
pub fn outcome(ended: &Ended, agent: &str, action: &str) -> Outcome {
    let Some(code) = ended.code else {
        let signal = ended.signal.unwrap_or(0);
        return Outcome {
            status: ExecutionStatus::Error,
            code: OcfCode::ERROR,
            reason: format!("{agent} was ended by signal {signal} during {action}"),
        };
    };
    if code == 0 {
        return Outcome::done(OcfCode::OK, "");
    }
    let reason = match reason(ended) {
        empty if empty.is_empty() && !matches!(code, 0..=9 | 190 | 191) => {
            "no result that OCF knows, taken as a failure".to_owned()
        }
        given => given,
    };
    Outcome::done(OcfCode(code), reason)
}

/// The last reason that the agent gave, else the last line it complained with.
fn reason(ended: &Ended) -> String {
    let given = ended.notes.iter().rev().find(|note| !note.is_empty());
    let complaint = || ended.stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let text = given.map(String::as_str).or_else(complaint).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect()
}

/// What it means that no child ran.
#[must_use]
pub fn not_run(error: &CallError, agent: &str) -> Outcome {
    match error {
        CallError::NotRunnable { program, source } => Outcome {
            status: ExecutionStatus::NotInstalled,
            code: OcfCode::NOT_INSTALLED,
            reason: format!(
                "{agent} is not installed on this node: {} ({source}); install its package, or \
                 correct the name",
                program.display()
            ),
        },
        CallError::System { .. } | CallError::GivenUp => Outcome {
            status: ExecutionStatus::Error,
            code: OcfCode::ERROR,
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haven_types::operation::AgentName;

    use super::*;

    fn operation() -> Operation {
        Operation {
            resource: "web:1".to_owned(),
            agent: AgentName {
                standard: "ocf".to_owned(),
                provider: Some("heartbeat".to_owned()),
                name: "nginx".to_owned(),
            },
            action: "monitor".to_owned(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(20),
            params: BTreeMap::from([
                ("configfile".to_owned(), "/etc/nginx/nginx.conf".to_owned()),
                ("OCF_CHECK_LEVEL".to_owned(), "10".to_owned()),
            ]),
            meta: BTreeMap::from([("clone-max".to_owned(), "3".to_owned())]),
        }
    }

    // spec: ocf-ra-1.1 3.4 test
    #[test]
    fn the_environment_is_what_the_standard_says_and_nothing_else() {
        let more = BTreeMap::from([
            ("HA_VARRUN".to_owned(), "/run/n1".to_owned()),
            ("OCF_ROOT".to_owned(), "/wrong".to_owned()),
        ]);
        let environment = of(&operation(), Path::new("/usr/lib/ocf"), &more).unwrap();
        let lines: Vec<String> =
            environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            lines,
            [
                "HA_VARRUN=/run/n1",
                "OCF_CHECK_LEVEL=10",
                "OCF_EXIT_REASON_PREFIX=ocf-exit-reason:",
                "OCF_RA_VERSION_MAJOR=1",
                "OCF_RA_VERSION_MINOR=1",
                "OCF_RESKEY_CRM_meta_clone_max=3",
                "OCF_RESKEY_CRM_meta_interval=10000",
                "OCF_RESKEY_CRM_meta_name=monitor",
                "OCF_RESKEY_CRM_meta_timeout=20000",
                "OCF_RESKEY_OCF_CHECK_LEVEL=10",
                "OCF_RESKEY_configfile=/etc/nginx/nginx.conf",
                "OCF_RESOURCE_INSTANCE=web:1",
                "OCF_RESOURCE_PROVIDER=heartbeat",
                "OCF_RESOURCE_TYPE=nginx",
                "OCF_ROOT=/usr/lib/ocf",
                &format!("PATH={PATH}"),
            ]
        );
    }

    #[test]
    fn what_no_environment_can_carry_is_refused_by_name() {
        for (name, value) in [("a=b", "x"), ("a", "x\0y"), ("", "x")] {
            let mut operation = operation();
            operation.params.insert(name.to_owned(), value.to_owned());
            let error = of(&operation, Path::new("/usr/lib/ocf"), &BTreeMap::new()).unwrap_err();
            assert!(error.contains("cannot be handed"), "{error}");
        }
    }

    fn ended(code: Option<i32>, notes: &[&str], stderr: &str) -> Ended {
        Ended {
            code,
            signal: code.is_none().then_some(11),
            stdout: String::new(),
            stderr: stderr.to_owned(),
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        }
    }

    #[test]
    fn codes_are_passed_on_with_the_last_reason() {
        for code in [1, 2, 3, 4, 5, 6, 7, 8, 9, 190, 191, 200, 255] {
            let outcome = outcome(&ended(Some(code), &["first", "last"], "x"), "a", "monitor");
            assert_eq!((outcome.code, outcome.reason.as_str()), (OcfCode(code), "last"));
            assert_eq!(outcome.status, ExecutionStatus::Done);
        }
        for (code, reason) in [(1, ""), (190, ""), (211, "no result that OCF knows")] {
            let mute = outcome(&ended(Some(code), &[], ""), "a", "start");
            assert_eq!((mute.code, mute.reason.is_empty()), (OcfCode(code), reason.is_empty()));
            assert!(mute.reason.starts_with(reason), "{}", mute.reason);
        }
        let quiet = outcome(&ended(Some(1), &[], "one\nsh: no such file\n\n"), "a", "start");
        assert_eq!(quiet.reason, "sh: no such file");
        assert_eq!(outcome(&ended(Some(0), &["odd"], "x"), "a", "start").reason, "");
        let killed = outcome(&ended(None, &[], ""), "ocf:x:y", "stop");
        assert_eq!(killed.status, ExecutionStatus::Error);
        assert!(killed.reason.contains("signal 11 during stop"), "{}", killed.reason);
        let long = outcome(&ended(Some(1), &[&"é\u{7}".repeat(5000)], ""), "a", "start");
        assert!(long.reason.chars().count() <= REASON_MAX && !long.reason.contains('\u{7}'));
    }
}
