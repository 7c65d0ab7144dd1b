//! What `explain` says of the golden cases: `tests/golden/policy/explain/CASE.RESOURCE.txt`. `BLESS=1` writes them anew;
//! read the difference before keeping it.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

use haven_base::WallTime;
use haven_cib::Cib;
use haven_policy::{ExplainError, Explanation, Options, Question, Verdict, explain};
use haven_skipped::skip;

/// Case, resource, node asked about.
const QUESTIONS: [(&str, &str, Option<&str>); 18] = [
    ("anti-colocation", "b", None),
    ("ban", "a", None),
    ("clone", "c", None),
    ("colocation", "b", None),
    ("date-rule", "a", None),
    ("failed-monitor", "a", None),
    ("group", "g", None),
    ("lease-no-fencing", "vip", None),
    ("location", "a", Some("n1")),
    ("maintenance", "a", None),
    ("migration-threshold", "a", None),
    ("order", "b", None),
    ("promote", "c", None),
    ("quorum-stop", "a", None),
    ("standby", "a", Some("n1")),
    ("stickiness", "a", None),
    ("target-role", "a", None),
    ("ticket", "a", None),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/policy")
}

fn ask(case: &str, resource: &str, node: Option<&str>) -> Result<Explanation, ExplainError> {
    let text = std::fs::read_to_string(folder().join(case).with_extension("xml")).unwrap();
    let (cib, status) = Cib::from_xml(&text).unwrap();
    let now = WallTime::from_seconds(status.recorded_at.unwrap());
    let question = Question { resource: resource.into(), node: node.map(str::to_owned) };
    explain(&cib, &status, now, &Options::default(), &question, &mut || true)
}

#[test]
fn each_case_is_explained_as_written_down() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for (case, resource, node) in QUESTIONS {
        let got = ask(case, resource, node).map_or_else(|e| e.to_string(), |e| e.to_string());
        let file = folder().join("explain").join(format!("{case}.{resource}.txt"));
        if bless {
            std::fs::write(&file, &got).unwrap();
        }
        let want = std::fs::read_to_string(&file).unwrap_or_default();
        if got != want {
            wrong.push(format!("{}\n--- expected\n{want}--- got\n{got}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_there_is_named_with_its_nearest() {
    let nearest = Some("vip".to_owned());
    let error = ask("lease-quorum", "vipp", None).unwrap_err();
    assert_eq!(error, ExplainError::NoSuchResource { id: "vipp".into(), nearest });
    let error = ask("stickiness", "a", Some("n7")).unwrap_err();
    assert_eq!(error, ExplainError::NoSuchNode { resource: "a".into(), node: "n7".into() });
}

#[test]
fn an_end_of_patience_leaves_changes_untried() {
    let text = std::fs::read_to_string(folder().join("stickiness.xml")).unwrap();
    let (cib, status) = Cib::from_xml(&text).unwrap();
    let question = Question { resource: "a".into(), node: None };
    let now = WallTime::from_seconds(1_700_000_000);
    let mut left = 1;
    let mut go_on = || std::mem::replace(&mut left, 0) > 0;
    let e = explain(&cib, &status, now, &Options::default(), &question, &mut go_on).unwrap();
    assert_eq!((e.tried, e.untried), (1, 2));
    assert_eq!(e.counterfactuals.len(), 1);
}

/// Files whose every primitive is explained: the golden cases, and of the corpus, where it is at hand, every sixth.
fn files() -> Vec<PathBuf> {
    let given = std::env::var_os("HAVEN_SCHEDULER_CORPUS").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = given.unwrap_or_else(|| root.join("../shared/scheduler-corpus")).join("xml");
    let list = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().map(|e| e.unwrap().path());
        let mut list: Vec<_> =
            entries.filter(|p| p.extension().is_some_and(|e| e == "xml")).collect();
        list.sort();
        list
    };
    let mut files = list(&folder());
    assert!(files.len() > 20, "the golden cases are not where they should be");
    let cases = list(&corpus);
    if cases.is_empty() {
        skip(
            "the scheduler corpus is not here (HAVEN_SCHEDULER_CORPUS names its folder)",
            "every sixth case of it explained",
        );
    }
    files.extend(cases.into_iter().step_by(6));
    files
}

/// Scores as they are added: -INFINITY wins over everything, then INFINITY.
fn add(a: i32, b: i32) -> i32 {
    const INFINITY: i32 = 1_000_000;
    match (a, b) {
        _ if a <= -INFINITY || b <= -INFINITY => -INFINITY,
        _ if a >= INFINITY || b >= INFINITY => INFINITY,
        _ => (a + b).clamp(-INFINITY, INFINITY),
    }
}

/// Writing terms down changes nothing, and they are all there is to a score.
#[test]
fn terms_add_up_and_have_no_effect() {
    let mut rows = 0;
    for path in files() {
        let (cib, status) = Cib::from_xml(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let now = WallTime::from_seconds(status.recorded_at.unwrap_or(1_700_000_000));
        let options = Options::default();
        let decided = haven_policy::schedule(&cib, &status, now, &options).placements;
        for resource in cib.resources.iter().map(|r| r.id().to_owned()) {
            let question = Question { resource, node: None };
            let e = explain(&cib, &status, now, &options, &question, &mut || false).unwrap();
            for i in &e.instances {
                if i.verdict == Verdict::Unmanaged {
                    continue;
                }
                let place = decided.iter().find(|p| p.resource == i.resource);
                let told = place.map(|p| &p.node);
                assert_eq!(told, i.node.as_ref(), "{} in {}", i.resource, path.display());
                for row in i.table.iter().filter(|row| row.eligible) {
                    let sum = row.terms.iter().fold(0, |sum, t| add(sum, t.value));
                    assert_eq!(
                        sum,
                        row.total,
                        "{} on {} in {}",
                        i.resource,
                        row.node,
                        path.display()
                    );
                    rows += 1;
                }
            }
        }
    }
    assert!(rows > 50, "only {rows} scores were looked at");
}
