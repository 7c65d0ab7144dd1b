//! An address that would get a second lease group while the first may still be held.

use haven_api::{ApiError, Code, Format, Load, LoadMode, RequestBody};
use haven_types::NodeId;
use haven_types::operation::{OcfCode, Outcome};

use crate::bench::{Answer, Bench, VIP};
use crate::port::Input;

const GROUPED: &str = "group web vip";

fn refused(answer: Answer) -> ApiError {
    let error = answer.unwrap_err();
    assert_eq!(error.code, Code::Unsafe, "{error:?}");
    error
}

fn replaced(bench: &mut Bench, text: String) -> Answer {
    let (format, mode, at) = (Format::Crm, LoadMode::Replace, bench.coordinator());
    let (expected, message) = (None, None);
    let force = true;
    bench.answer(
        at,
        RequestBody::ConfigureLoad(Load {
            text,
            format,
            mode,
            expected,
            force,
            message,
            ..Load::default()
        }),
    )
}

fn stopped(bench: &mut Bench, stop: bool) {
    let at = bench.coordinator();
    let role = if stop { "Stopped" } else { "Started" };
    let text = VIP.replace(" op ", &format!(" meta target-role={role} op "));
    assert!(bench.load(at, &text, false).is_ok());
    bench.run(1_000);
}

// spec: L2
#[test]
fn an_address_changes_its_lease_group_only_while_it_has_no_owner() {
    let mut bench = Bench::new(VIP);
    let (at, owner) = (bench.coordinator(), bench.owner());
    let error = refused(bench.load(at, GROUPED, true));
    assert!(error.message.contains(&format!("vip may still be active on n{owner}")), "{error:?}");
    assert!(error.remedy.unwrap().contains("haven resource stop vip"));
    // The same address under another name.
    let renamed = VIP.replace("primitive vip ", "primitive other ");
    refused(replaced(&mut bench, renamed.clone()));
    refused(replaced(
        &mut bench,
        renamed.replace("ip=192", "ip=\"192.0.2.9, 192").replace(" nic", "\" nic"),
    ));
    refused(bench.load(at, &renamed, true));
    // Another change goes through, and so does the address once it was stopped.
    let more = VIP.replace("primitive vip ", "primitive more ").replace("192.0.2.10", "192.0.2.11");
    assert!(bench.load(at, &more, false).is_ok());
    stopped(&mut bench, true);
    assert_eq!(bench.called("vip_stop_0"), [owner]);
    assert!(bench.load(at, GROUPED, false).is_ok());
    let grants = |bench: &Bench| bench.nodes.values().next().unwrap().state().grants.clone();
    assert!(!grants(&bench).contains_key("web"));
    assert!(
        bench.load(at, "primitive vip ocf:haven:ip params ip=192.0.2.10 nic=eth0", false).is_ok()
    );
    bench.run(1_000);
    assert_eq!(bench.called("vip_start_0").len(), 2);
    assert_ne!(grants(&bench)["web"].group, grants(&bench)["vip"].group);
    // Out of the group again is a change like that into it.
    refused(replaced(&mut bench, VIP.to_owned()));
}

// spec: L2
#[test]
fn an_address_whose_start_waits_for_its_lease_keeps_its_lease_group() {
    let mut bench = Bench::new("property stop-all-resources=false");
    let at = bench.coordinator();
    let (text, format, mode) = (VIP.to_owned(), Format::Crm, LoadMode::Update);
    bench.ask(at, RequestBody::ConfigureLoad(Load { text, format, mode, ..Load::default() }));
    let waits = |bench: &Bench| bench.nodes[&NodeId(at)].awaited_starts().count();
    for _ in 0..2_000 {
        if waits(&bench) > 0 {
            break;
        }
        bench.run(1);
    }
    assert_eq!((waits(&bench), bench.called("vip_start_0").len()), (1, 0));
    let error = refused(bench.load(at, GROUPED, true));
    assert!(error.message.contains("under the lease of vip"), "{error:?}");
    bench.run(2_000);
    assert_eq!(bench.called("vip_start_0").len(), 1);
}

// spec: L2
#[test]
fn nothing_starts_under_the_lease_of_a_group_that_it_is_leaving() {
    for applied in [false, true] {
        let lines = "property stonith-enabled=false\nprimitive db ocf:haven:Dummy meta target-role=Stopped\norder db_first Mandatory: db vip\n";
        let stopped = VIP.replace(" op ", " meta target-role=Stopped op ");
        let mut bench = Bench::new(&format!("{stopped}\n{lines}"));
        let at = bench.coordinator();
        bench.hanging.insert("db_start_0".to_owned());
        let here = format!(
            "location here db inf: n{at}\nprimitive db ocf:haven:Dummy meta target-role=Started"
        );
        let vip = VIP.replace(" op ", " meta target-role=Started op ");
        assert!(bench.load(at, &format!("{here}\n{vip}"), true).is_ok());
        let &[(node, run)] = bench.hung.as_slice() else { panic!("{:?}", bench.hung) };
        assert_eq!((node, bench.called("vip_start_0").len()), (at, 0));
        // The change is under way, or in force, when the way to the start becomes free.
        let (text, format, mode) = (GROUPED.to_owned(), Format::Crm, LoadMode::Update);
        let body = Load { text, format, mode, force: true, ..Load::default() };
        let request = bench.ask(at, RequestBody::ConfigureLoad(body));
        if applied {
            bench.run(100);
        }
        let outcome = Outcome::done(OcfCode(0), "");
        bench.step(at, Input::AgentFinished { run, outcome });
        bench.run(5_000);
        assert!(bench.answers[&request][0].is_ok(), "{:?}", bench.answers[&request]);
        let grants = &bench.nodes[&NodeId(at)].state().grants;
        assert!(grants.contains_key("web"), "{grants:?}");
        for node in bench.nodes.values() {
            let records = node.histories.values().flat_map(|it| it.resources.get("vip"));
            for record in records.flat_map(|it| it.values()).filter_map(|it| it.lease) {
                assert_eq!(record.group, grants["web"].group);
            }
        }
        assert_eq!(bench.called("vip_start_0").len(), 1);
    }
}

// spec: L2
#[test]
fn an_address_of_a_node_that_is_away_keeps_its_lease_group() {
    let mut bench = Bench::new(VIP);
    let owner = bench.owner();
    bench.kill(owner);
    bench.run(5_000);
    let at = bench.coordinator();
    refused(bench.load(at, GROUPED, true));
    // Whoever coordinates may never have heard the owner's own word; the log names it.
    let controller = bench.nodes.get_mut(&NodeId(at)).unwrap();
    assert!(controller.histories.remove(&NodeId(owner)).is_some());
    refused(bench.load(at, GROUPED, true));
    bench.notice(owner);
    bench.run(2_000);
    assert_ne!(bench.owner(), owner);
    let error = refused(bench.load(at, GROUPED, true));
    assert!(error.message.contains(&format!("on n{}", bench.owner())), "{error:?}");
}

// spec: L8
#[test]
fn an_address_gets_no_lease_while_a_node_that_is_away_may_answer_for_it_without_one() {
    let open = "property stonith-enabled=false";
    let clone = format!("{open}\n{VIP}\nclone c vip meta clone-max=1");
    let off = format!("{open}\n{}", VIP.replace(" op ", " meta lease=off op "));
    let alone = format!("{open}\n{VIP}");
    let renamed = alone.replace("primitive vip ", "primitive vip2 ");
    for (before, after) in [(&clone, &alone), (&clone, &renamed), (&off, &alone), (&off, &renamed)]
    {
        let mut bench = Bench::new(before);
        let owner = bench.owner();
        bench.kill(owner);
        bench.run(5_000);
        bench.notice(owner);
        bench.run(2_000);
        let error = refused(replaced(&mut bench, after.clone()));
        let away = format!("vip may still be active on n{owner}, which is away, under none");
        assert!(error.message.contains(&away), "{error:?}");
        // Other changes go through.
        assert!(replaced(&mut bench, format!("{before}\nproperty batch-limit=3")).is_ok());
        bench.run(60_000);
        let body = RequestBody::NodeConfirmDead {
            node: format!("n{owner}"),
            reason: "plug pulled".to_owned(),
            wait: false,
            timeout_ms: None,
        };
        let at = bench.coordinator();
        assert!(bench.answer(at, body).is_ok());
        let loaded = replaced(&mut bench, after.clone());
        assert!(loaded.is_ok(), "somebody made sure: {loaded:?}");
    }
}

// spec: L8
#[test]
fn an_address_gets_its_lease_where_everybody_is_heard() {
    let open = "property stonith-enabled=false";
    let mut bench = Bench::new(&format!("{open}\n{VIP}\nclone c vip meta clone-max=1"));
    assert!(replaced(&mut bench, format!("{open}\n{VIP}")).is_ok());
    bench.run(2_000);
    assert_eq!(bench.called("vip_stop_0").len(), 1, "it is started anew");
    assert_eq!(bench.grant().1, Some(NodeId(bench.owner())));
}
