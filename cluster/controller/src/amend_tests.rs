//! Single objects deleted, renamed, regrouped and set: as one change each, refused for what runs, and taken back.

use haven_api::{ApiError, Code, Format, ObjectEdit, ReplyBody, RequestBody, Version};

use crate::bench::{Answer, Bench};

const LINES: &str = "\
primitive a ocf:haven:Dummy op monitor interval=10s
primitive b ocf:haven:Dummy op monitor interval=10s
group g a b
primitive c ocf:haven:Dummy meta target-role=Stopped op monitor interval=10s
location c-on c 100: n1
property stonith-enabled=false";

fn edit(bench: &mut Bench, change: ObjectEdit, force: bool) -> Answer {
    let (expected, message) = (None, None);
    bench.answer(2, RequestBody::ConfigureChange { change, expected, force, message })
}

fn delete(bench: &mut Bench, object: &str, force: bool) -> Answer {
    edit(bench, ObjectEdit::Delete { objects: vec![object.to_owned()] }, force)
}

fn shown(bench: &mut Bench) -> String {
    match bench.answer(1, RequestBody::ConfigureShow { format: Format::Crm }) {
        Ok(ReplyBody::Configuration { text, .. }) => text,
        other => panic!("{other:?}"),
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn changed(answer: Answer) -> (Version, Vec<String>) {
    match answer {
        Ok(ReplyBody::Committed { version, changed, .. }) => (version, changed),
        other => panic!("{other:?}"),
    }
}

fn refused(answer: Answer, code: Code) -> ApiError {
    let error = answer.unwrap_err();
    assert_eq!(error.code, code, "{error:?}");
    assert!(
        error.remedy.is_some() || error.findings.iter().all(|f| f.remedy.is_some()),
        "{error:?}"
    );
    error
}

#[test]
fn what_runs_is_neither_deleted_nor_renamed_and_with_force_the_cluster_stops_it() {
    let mut bench = Bench::new(LINES);
    bench.run(1_000);
    for running in ["a", "g"] {
        let error = refused(delete(&mut bench, running, false), Code::Unsafe);
        assert!(error.message.contains(&format!("{running} runs on n")), "{error:?}");
        let to = "other".to_owned();
        let rename = ObjectEdit::Rename { from: running.to_owned(), to };
        refused(edit(&mut bench, rename, true), Code::Unsafe);
    }
    assert!(bench.called("a_stop_0").is_empty());
    assert_eq!(changed(delete(&mut bench, "a", true)).1, ["g", "a"]);
    bench.run(2_000);
    assert_eq!(bench.called("a_stop_0").len(), 1, "what is no longer configured is stopped");
    assert!(shown(&mut bench).contains("group g b\n"));
    // What does not run goes without force, with what names it.
    assert_eq!(changed(delete(&mut bench, "c", false)).1, ["c", "c-on"]);
}

#[test]
fn each_change_is_logged_under_its_own_words_and_can_be_taken_back() {
    let mut bench = Bench::new(LINES);
    let before = shown(&mut bench);
    let text = |text: &str| text.to_owned();
    for (change, line, words) in [
        (
            ObjectEdit::Rename { from: text("c"), to: text("d") },
            "location c-on d 100: n1",
            "rename c d",
        ),
        (
            ObjectEdit::AddMember {
                group: text("g"),
                member: text("c"),
                before: Some(text("b")),
                after: None,
            },
            "group g a c b",
            "modgroup g add c before b",
        ),
        (
            ObjectEdit::RemoveMember { group: text("g"), member: text("b") },
            "group g a\n",
            "modgroup g remove b",
        ),
        (
            ObjectEdit::Set { path: text("c.op.monitor.timeout"), value: text("40s") },
            "interval=10s timeout=40s",
            "set c.op.monitor.timeout 40s",
        ),
        (
            ObjectEdit::Delete { objects: vec![text("c-on"), text("c")] },
            "group g a b",
            "delete c-on c",
        ),
    ] {
        let (version, _) = changed(edit(&mut bench, change, false));
        assert!(shown(&mut bench).contains(line), "{}", shown(&mut bench));
        let log = bench.answer(3, RequestBody::ConfigureLog { limit: Some(1) }).unwrap();
        let ReplyBody::ConfigurationLog(rows) = log else { panic!("{log:?}") };
        assert_eq!((rows[0].version, rows[0].message.as_str()), (version, words));
        let undo =
            RequestBody::ConfigureUndo { version: Some(version), message: None, force: false };
        changed(bench.answer(1, undo));
        // A resource that came out of a group stands elsewhere among the others.
        assert_eq!(sorted(&shown(&mut bench)), sorted(&before), "{words}");
    }
}

#[test]
fn a_change_that_cannot_be_made_changes_nothing_and_names_the_way() {
    let mut bench = Bench::new(LINES);
    let before = shown(&mut bench);
    let error = refused(delete(&mut bench, "cc", false), Code::Configuration);
    assert_eq!(error.findings[0].nearest.as_deref(), Some("c"), "{error:?}");
    let error = refused(delete(&mut bench, "n1", true), Code::Configuration);
    assert!(
        error.findings[0].remedy.as_deref().unwrap().contains("haven cluster remove n1"),
        "{error:?}"
    );
    // What verify refuses is refused here, too.
    let set = |path: &str, value: &str| ObjectEdit::Set { path: path.into(), value: value.into() };
    refused(edit(&mut bench, set("property.batch-limitt", "5"), false), Code::Configuration);
    refused(
        edit(&mut bench, set("property.no-quorum-policy", "sometimes"), false),
        Code::Configuration,
    );
    let old = Some(Version { admin_epoch: 0, epoch: 0, num_updates: 0 });
    let change = set("c.meta.priority", "3");
    let stale = RequestBody::ConfigureChange { change, expected: old, force: true, message: None };
    refused(bench.answer(1, stale), Code::StaleWrite);
    assert_eq!(shown(&mut bench), before);
}
