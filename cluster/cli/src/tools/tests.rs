use haven_api::{AttributeLifetime, AttributeRow, Format, Load, LoadMode};

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn steps(line: &str) -> Result<Vec<Step>, ApiError> {
    let args = words(line);
    let resource = |name: &str| (name == "OCF_RESOURCE_INSTANCE").then(|| "db".to_owned());
    understood(tool_called(&args[0]).unwrap(), &args, &resource)
}

/// The one change that a call makes.
fn change(line: &str) -> RequestBody {
    match steps(line).unwrap().remove(0) {
        Step::Change(body) => body,
        Step::Ask(body, _) | Step::Then(body, _) => panic!("{line}: asks {body:?}"),
    }
}

fn set(name: &str, value: Option<&str>, delay_ms: Option<u64>) -> RequestBody {
    RequestBody::NodeAttributeSet {
        node: None,
        name: name.to_owned(),
        value: value.map(str::to_owned),
        lifetime: AttributeLifetime::Reboot,
        delay_ms,
        private: false,
    }
}

#[test]
fn agents_set_promotion_scores_in_every_way_they_know() {
    for line in [
        "/run/haven/tools/crm_attribute --promotion -v 10",
        "crm_attribute -p -v 10",
        "crm_attribute --promotion=db -v 10",
        "crm_attribute -l reboot -n master-db -v 10",
        "crm_master -l reboot -v 10",
        "crm_master -Q -l reboot -v 10",
        "crm_master --resource db -v 10",
        "attrd_updater -n master-db -U 10",
    ] {
        assert_eq!(change(line), set("master-db", Some("10"), None), "{line}");
    }
    for line in ["crm_attribute --promotion -D", "crm_master -l reboot -D"] {
        assert_eq!(change(line), set("master-db", None, None), "{line}");
    }
    assert_eq!(
        change("crm_master -l reboot -v -INFINITY"),
        set("master-db", Some("-INFINITY"), None)
    );
}

#[test]
fn attrd_s_options_are_understood_as_ping_and_sysinfo_use_them() {
    assert_eq!(
        change("attrd_updater -n pingd -v 1000 -d 5s"),
        set("pingd", Some("1000"), Some(5_000))
    );
    assert_eq!(
        change("attrd_updater -n pingd -B 1000 -d 5"),
        set("pingd", Some("1000"), Some(5_000))
    );
    assert_eq!(change("attrd_updater -D -n pingd -d 5s -q"), set("pingd", None, Some(5_000)));
    assert_eq!(change("attrd_updater -S status -n cpu -v 3"), set("cpu", Some("3"), None));
    assert!(steps("attrd_updater -R -n x").unwrap().is_empty());
    assert!(steps("attrd_updater -v 3").is_err(), "no name");
}

#[test]
fn permanent_attributes_and_options_of_the_cluster_go_to_the_configuration() {
    let RequestBody::NodeAttributeSet { node, lifetime, .. } =
        change("crm_attribute -N n2 -n log-file -v x -l forever")
    else {
        panic!("another request");
    };
    assert_eq!((node.as_deref(), lifetime), (Some("n2"), AttributeLifetime::Forever));
    let RequestBody::ConfigureLoad(Load { text, format, mode, .. }) =
        change("crm_attribute --type crm_config --name db_REPL_INFO -s replication -v a|b")
    else {
        panic!("another request");
    };
    assert_eq!(text, "property db_REPL_INFO=\"a|b\"\n");
    assert_eq!((format, mode), (Format::Crm, LoadMode::Update));
}

#[test]
fn answers_are_in_the_words_that_agents_look_for() {
    let row = |node: &str, value: &str| AttributeRow {
        node: node.to_owned(),
        name: "a".to_owned(),
        value: Some(value.to_owned()),
        lifetime: AttributeLifetime::Reboot,
        pending: None,
        delay_ms: 0,
        private: false,
    };
    let rows = [row("n1", "5"), row("n2", "6")];
    let reboot = AttributeLifetime::Reboot;
    let queried = |quiet| answer::queried(&rows[..1], "a", reboot, None, quiet).unwrap();
    assert_eq!(
        (queried(true).as_str(), queried(false).as_str()),
        ("5\n", "scope=status  name=a value=5\n")
    );
    assert_eq!(
        answer::told(&rows, "a", false).unwrap(),
        "name=\"a\" host=\"n1\" value=\"5\"\nname=\"a\" host=\"n2\" value=\"6\"\n"
    );
    let missing = answer::queried(&[], "a", reboot, None, true).unwrap_err();
    assert_eq!(missing.code, Code::NoSuchObject);
    assert_eq!(answer::queried(&[], "a", reboot, Some("0"), true).unwrap(), "0\n");
}

#[test]
fn every_tool_s_options_fit_together() {
    attributes::CrmAttribute::command().debug_assert();
    attributes::CrmMaster::command().debug_assert();
    attributes::AttrdUpdater::command().debug_assert();
    cluster::CrmNode::command().debug_assert();
    cluster::CrmResource::command().debug_assert();
    for (tool, wrong) in TOOLS.iter().zip(["--frobnicate"; 4]) {
        let failed = steps(&format!("{tool} {wrong}")).err();
        assert!(*tool == "crm_mon" || failed.is_some_and(|error| error.code == Code::Usage));
    }
    assert_eq!(tool_called("/usr/bin/haven".as_ref()), None);
}
