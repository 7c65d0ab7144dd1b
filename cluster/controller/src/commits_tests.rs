//! The log of changes: the same on every node, bounded, shown, taken back; and nobody's change is lost.

use haven_api::{ApiError, Code, Format, Load, LoadMode, ReplyBody, RequestBody, Version};
use haven_base::WallTime;
use haven_cib::crm::ObjectChange;

use crate::bench::Bench;
use crate::command::Authorship;
use crate::commits::bound;
use crate::replicated::{Commit, MAX_COMMIT_BYTES, MAX_COMMITS};

fn version(epoch: u64) -> Version {
    Version { admin_epoch: 0, epoch, num_updates: 0 }
}

fn load(text: &str, expected: Option<Version>, message: Option<&str>) -> RequestBody {
    RequestBody::ConfigureLoad(Load {
        text: text.to_owned(),
        expected,
        message: message.map(str::to_owned),
        ..Load::default()
    })
}

fn undo(made: Option<Version>) -> RequestBody {
    RequestBody::ConfigureUndo { version: made, message: None, force: false }
}

fn shown(bench: &mut Bench, node: u16) -> (Version, String) {
    match bench.answer(node, RequestBody::ConfigureShow { format: Format::Crm }) {
        Ok(ReplyBody::Configuration { version, text, .. }) => (version, text),
        other => panic!("{other:?}"),
    }
}

fn made(answer: Result<ReplyBody, ApiError>) -> Version {
    match answer {
        Ok(ReplyBody::Committed { version, .. }) => version,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_node_knows_who_changed_what_on_which_node_and_why() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let other = if coordinator == 1 { 2 } else { 1 };
    let text = "property cluster-name=demo";
    let first = made(bench.answer(other, load(text, None, Some("name\n the  cluster"))));
    for node in 1..=3 {
        let log = bench.answer(node, RequestBody::ConfigureLog { limit: Some(1) }).unwrap();
        let ReplyBody::ConfigurationLog(rows) = log else { panic!("{log:?}") };
        let row = &rows[0];
        assert_eq!((rows.len(), row.version, row.kept), (1, first, true));
        assert_eq!((row.author.as_str(), &row.node), ("uid 0", &format!("n{other}")));
        assert_eq!(
            (row.message.as_str(), row.changed.clone()),
            ("name the cluster", vec!["property".to_owned()])
        );
        let diff = bench.answer(node, RequestBody::ConfigureDiff { from: None, to: None }).unwrap();
        let ReplyBody::ConfigurationDiff { from, to, changes } = diff else { panic!("{diff:?}") };
        assert_eq!((from.epoch + 1, to, changes.len()), (to.epoch, first, 1));
        assert_eq!(changes[0].after.as_deref(), Some(text));
    }
}

#[test]
fn the_latest_change_and_an_older_one_are_taken_back() {
    let mut bench = Bench::new("");
    made(bench.answer(1, load("property cluster-name=demo", None, None)));
    let (start, before) = shown(&mut bench, 1);
    let second =
        made(bench.answer(1, load("primitive a lsb:a op monitor interval=10s", None, None)));
    made(bench.answer(2, load("property maintenance-mode=true", None, None)));
    let undone = made(bench.answer(3, undo(Some(second))));
    assert_eq!(undone.epoch, second.epoch + 2, "taking back is a change of its own");
    let (_, now) = shown(&mut bench, 2);
    assert_eq!(now, before.replace("cluster-name=demo", "cluster-name=demo maintenance-mode=true"));
    made(bench.answer(1, undo(None)));
    assert!(shown(&mut bench, 1).1.contains("primitive a"), "taking back is taken back");
    let from = Some(start);
    let diff = bench.answer(1, RequestBody::ConfigureDiff { from, to: Some(undone) }).unwrap();
    let ReplyBody::ConfigurationDiff { changes, .. } = diff else { panic!("{diff:?}") };
    let objects: Vec<&str> = changes.iter().map(|change| change.object.as_str()).collect();
    assert_eq!(objects, ["property"], "what came and went is no difference");
}

#[test]
fn a_change_that_others_have_built_upon_is_not_taken_back() {
    let mut bench = Bench::new("");
    let first =
        made(bench.answer(1, load("primitive a lsb:a op monitor interval=10s", None, None)));
    made(
        bench.answer(2, load("primitive a lsb:b op monitor interval=10s", None, Some("the other"))),
    );
    let before = shown(&mut bench, 1);
    let error = bench.answer(1, undo(Some(first))).unwrap_err();
    assert_eq!(error.code, Code::StaleWrite);
    assert!(error.message.contains("\"a\" was changed since"), "{error}");
    assert!(error.message.contains("by uid 0 on n2"), "{error}");
    made(bench.answer(1, undo(None)));
    made(bench.answer(1, load("group g a", None, None)));
    let error = bench.answer(1, undo(Some(first))).unwrap_err();
    assert_eq!(error.code, Code::Configuration);
    assert_eq!(error.findings[0].code, "HV0201");
    assert_ne!(shown(&mut bench, 1), before);
    let error = bench.answer(1, undo(Some(version(99)))).unwrap_err();
    assert_eq!(error.code, Code::NoSuchObject);
}

#[test]
fn taking_back_is_judged_like_loading() {
    let mut bench = Bench::new("");
    // One that verify refuses by itself: an address without its parameter cannot have been loaded, but a
    // constraint on a node can outlive what made it right.
    made(bench.answer(1, load("primitive a lsb:a op monitor interval=10s", None, None)));
    let second = made(bench.answer(1, load("tag t: a", None, None)));
    made(bench.answer(1, load("location l t 100: n1", None, None)));
    let error = bench.answer(1, undo(Some(second))).unwrap_err();
    assert_eq!(error.code, Code::Configuration, "{error}");
    assert!(
        error.findings.iter().any(|f| f.object.as_deref() == Some("l")),
        "{:?}",
        error.findings
    );
}

#[test]
fn who_edits_at_the_same_time_loses_nothing_and_learns_who_was_faster() {
    let mut bench = Bench::new("");
    let (seen, text) = shown(&mut bench, 1);
    let whole = |line: &str| {
        RequestBody::ConfigureLoad(Load {
            text: format!("{text}\n{line}"),
            mode: LoadMode::Replace,
            expected: Some(seen),
            message: Some(format!("add {line}")),
            ..Load::default()
        })
    };
    let slower = whole("tag u: n1");
    made(bench.answer(2, whole("property cluster-name=demo")));
    for body in [slower, load("property cluster-name=mine", Some(seen), None)] {
        let error = bench.answer(1, body).unwrap_err();
        assert_eq!(error.code, Code::StaleWrite);
        assert!(error.message.contains("by uid 0 on n2"), "{error}");
        assert!(error.message.contains("add property cluster-name=demo"), "{error}");
        assert!(error.message.contains("(property)"), "{error}");
        let remedy = error.remedy.unwrap();
        assert!(remedy.contains(&format!("haven configure diff {seen}")), "{remedy}");
    }
    // Both before either is committed.
    let coordinator = bench.coordinator();
    let now = Some(shown(&mut bench, coordinator).0);
    let first = bench.ask(coordinator, load("property batch-limit=1", now, Some("one")));
    let second = bench.ask(coordinator, load("property batch-limit=2", now, Some("two")));
    bench.run(2_000);
    assert!(bench.answers[&first][0].is_ok());
    let error = bench.answers[&second][0].clone().unwrap_err();
    assert_eq!(error.code, Code::StaleWrite);
    assert!(error.message.contains("\"one\" (property)"), "{error}");
}

fn commit(epoch: u64, bytes: usize) -> Commit {
    let version = haven_cib::Version { admin_epoch: 0, epoch, num_updates: 0 };
    let change = ObjectChange {
        node: false,
        id: String::new(),
        before: None,
        after: Some("x".repeat(bytes)),
        follows: None,
        kept: None,
    };
    let (author, node, message) = ("root".to_owned(), "n1".to_owned(), String::new());
    let at = WallTime::from_seconds(1);
    Commit::new(version, vec![change], Authorship { author, node, message, at })
}

#[test]
fn the_log_is_bounded_by_count_and_by_bytes() {
    let mut commits: Vec<Commit> = Vec::new();
    for epoch in 1..=MAX_COMMITS as u64 + 10 {
        commits.push(commit(epoch, 10));
        bound(&mut commits);
    }
    assert_eq!((commits.len(), commits[0].version.epoch), (MAX_COMMITS, 11));
    assert!(commits.iter().all(|commit| commit.changes.is_some()));
    commits.push(commit(900, MAX_COMMIT_BYTES - 25));
    bound(&mut commits);
    let kept: Vec<u64> =
        commits.iter().filter(|c| c.changes.is_some()).map(|c| c.version.epoch).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(commits.len(), MAX_COMMITS, "author and message stay");
    commits.push(commit(901, MAX_COMMIT_BYTES + 1));
    bound(&mut commits);
    assert!(commits.iter().all(|commit| commit.changes.is_none()));
}
