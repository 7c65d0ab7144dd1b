//! Agents of others are judged on the node that is asked, and only what is new is refused.

use std::collections::BTreeMap;

use haven_api::{Code, ReplyBody, RequestBody};
use haven_types::agent::{AgentDescription, AgentReport, ParameterDescription};

use crate::bench::Bench;
use crate::port::{Input, Local};

const WEB: &str = "primitive web ocf:x:web params port=80 op start timeout=20s op monitor interval=10s\nproperty stonith-enabled=false";

/// Node `id` has the agent, with these parameters.
fn tell(bench: &mut Bench, id: u16, names: &[&str]) {
    let params = names.iter().map(|name| ((*name).to_owned(), ParameterDescription::default()));
    let described = AgentDescription { params: params.collect(), ..AgentDescription::default() };
    let told = BTreeMap::from([("ocf:x:web".to_owned(), AgentReport::Described(described))]);
    bench.step(id, Input::Local(Local::Described(told)));
}

#[test]
fn a_node_refuses_by_its_own_agents_before_the_coordinator_is_asked() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let other = if coordinator == 1 { 2 } else { 1 };
    tell(&mut bench, other, &["ports"]);
    let error = bench.load(other, WEB, false).unwrap_err();
    assert_eq!(error.code, Code::Configuration);
    assert_eq!(error.findings[0].nearest.as_deref(), Some("ports"), "{error:?}");
    assert_eq!(error.findings[0].line, Some(1));
    // With force it goes through, and where nothing is known nothing is refused.
    assert!(bench.load(other, WEB, true).is_ok());
    assert!(bench.load(coordinator, &WEB.replace("web ocf", "web2 ocf"), false).is_ok());
}

#[test]
fn what_agents_say_on_the_node_that_is_asked_comes_with_the_coordinators_answer() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let other = if coordinator == 1 { 2 } else { 1 };
    let told = BTreeMap::from([("ocf:x:web".to_owned(), AgentReport::Absent)]);
    bench.step(other, Input::Local(Local::Described(told)));
    let warned = |answer: Result<ReplyBody, haven_api::ApiError>| {
        let Ok(ReplyBody::Committed { findings, .. }) = answer else { panic!("{answer:?}") };
        findings.into_iter().filter(|it| it.code == "HV0322").map(|it| it.line).collect::<Vec<_>>()
    };
    assert_eq!(warned(bench.load(other, WEB, false)), [Some(1)]);
    assert_eq!(warned(bench.load(coordinator, "property batch-limit=5", false)), []);
    // A slip is refused there, and by force it goes and keeps nobody from changing something else.
    let told = BTreeMap::from([("ocf:heartbaet:web".to_owned(), AgentReport::Absent)]);
    bench.step(other, Input::Local(Local::Described(told)));
    let slip = WEB.replace("web ocf:x:web", "slip ocf:heartbaet:web");
    let error = bench.load(other, &slip, false).unwrap_err();
    assert_eq!(error.findings[0].nearest.as_deref(), Some("ocf:heartbeat:web"), "{error:?}");
    assert_eq!(warned(bench.load(other, &slip, true)), [Some(1), None]);
    assert_eq!(warned(bench.load(other, "property batch-limit=6", false)), [None, None]);
}

#[test]
fn who_asked_through_a_node_that_dies_is_told_at_once_that_nobody_will_answer() {
    let mut bench = Bench::new("primitive d ocf:haven:Dummy op monitor interval=10s");
    bench.run(1_000);
    let coordinator = bench.coordinator();
    let other = if coordinator == 1 { 2 } else { 1 };
    let resource = "d".to_owned();
    let stop = RequestBody::ResourceStop { resource, wait: true, timeout_ms: Some(60_000) };
    let asked = bench.ask(other, stop);
    assert!(!bench.answers.contains_key(&asked), "{:?}", bench.answers);
    bench.kill(coordinator);
    bench.notice(coordinator);
    let error = bench.answers.remove(&asked).unwrap().remove(0).unwrap_err();
    assert_eq!(error.code, Code::Indeterminate);
    assert!(
        error.message.contains(&format!("n{coordinator}")) && error.remedy.is_some(),
        "{error:?}"
    );
}

#[test]
fn an_agent_that_changes_its_mind_blocks_only_what_is_new() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    tell(&mut bench, coordinator, &["port"]);
    assert!(bench.load(coordinator, WEB, false).is_ok());
    tell(&mut bench, coordinator, &["listen"]);
    let loaded = bench.load(coordinator, "property batch-limit=5", false).unwrap();
    let ReplyBody::Committed { findings, .. } = loaded else { panic!("{loaded:?}") };
    assert!(findings.iter().any(|finding| finding.code == "HV0302"), "it is told: {findings:?}");
    let error = bench.load(coordinator, &WEB.replace("web ocf", "web2 ocf"), false).unwrap_err();
    assert!(error.findings.iter().any(|f| f.object.as_deref() == Some("web2")), "{error:?}");
    let verify = RequestBody::ConfigureVerify {
        text: None,
        format: haven_api::Format::Crm,
        mode: haven_api::LoadMode::Update,
        lenient: false,
    };
    let wanted = bench.nodes[&haven_types::NodeId(coordinator)].agents_of(&verify);
    assert_eq!(wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ocf:x:web"]);
}
