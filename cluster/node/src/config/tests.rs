use super::*;

const GOOD: &str = r#"
[cluster]
name = "demo"
[node]
name = "n1"
[[link]]
number = 1
local = "fd00::1"
[[link]]
number = 0
local = "10.77.0.1"
port = 6000
[paths]
state = "/tmp/a"
run = "/tmp/b"
"#;

#[test]
fn a_complete_file_is_read_and_defaults_are_filled_in() {
    let config = NodeConfig::parse(GOOD).unwrap();
    assert_eq!(config.links[0].address().to_string(), "10.77.0.1:6000");
    assert_eq!(config.links[1].address().to_string(), "[fd00::1]:5405");
    assert_eq!(config.channel.to_string(), "10.77.0.1:5406");
    assert_eq!((config.log_level.as_str(), config.log_json), ("info", false));
    assert_eq!(config.log_mib, 4);
    assert_eq!(config.control_socket().to_str(), Some("/tmp/b/control.sock"));
}

#[test]
fn a_missing_file_is_told_in_words_with_what_to_do() {
    let path = std::path::Path::new("/nonexistent/haven.toml");
    let said = NodeConfig::load(path).unwrap_err().to_string();
    assert_eq!(
        said,
        "cannot read the configuration /nonexistent/haven.toml: there is no such file; name another \
         file with --config FILE or create this one (haven help node run shows an example)"
    );
}

#[test]
fn all_mistakes_are_reported_at_once_with_line_and_nearest_name() {
    let text = "[cluster]\nnmae = \"x\"\n[nodes]\n[[link]]\nnumber = 9\nlocal = \"nowhere\"\n\
                [log]\nlevel = \"loud\"\n[paths]\nstate = \"rel\"\n";
    let findings = NodeConfig::parse(text).unwrap_err();
    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    for expected in [
        "line 1, [cluster] name: missing",
        "[node] name: missing",
        "line 2, [cluster] nmae: unknown key; did you mean \"name\"?",
        "line 3, [nodes]: unknown section; did you mean \"node\"?",
        "line 5, [[link]] number: expected a whole number from 0 to 7",
        "line 6, [[link]] local: found \"nowhere\", expected an IPv4 or IPv6 address",
        "line 8, [log] level: found \"loud\", expected one of error, warn, info, debug, trace",
        "line 10, [paths] state: found \"rel\", expected an absolute path",
    ] {
        assert!(shown.iter().any(|line| line.starts_with(expected)), "{expected}\n{shown:#?}");
    }
    assert_eq!(findings.len(), 8, "{shown:#?}");
    assert!(shown[0].starts_with("line 1") && shown[7].starts_with("[node] name"), "{shown:#?}");
}

#[test]
fn what_one_of_several_tables_lacks_is_reported_at_its_head() {
    let text = format!(
        "{GOOD}[[link]]\nnumber = 3\n[[check]]\nname = \"a\"\nkind = \"router\"\n[[check]]\nname = \"b\"\n"
    );
    let head = |table: &str| {
        let before = text[..text.rfind(table).unwrap()].lines().count();
        before + 1
    };
    let findings = NodeConfig::parse(&text).unwrap_err();
    let found: Vec<_> = findings.iter().map(|one| (one.line, one.object.as_str())).collect();
    let expected = [(head("[[link]]"), "[[link]] local"), (head("[[check]]"), "[[check]] kind")];
    assert_eq!(found, expected, "{findings:#?}");
}

#[test]
fn lines_of_the_log_are_text_or_json() {
    let with = |value: &str| NodeConfig::parse(&format!("{GOOD}[log]\nformat = \"{value}\"\n"));
    assert!(!with("text").unwrap().log_json);
    assert!(with("json").unwrap().log_json);
    let findings = with("xml").unwrap_err();
    let expected = "[log] format: found \"xml\", expected one of text, json";
    assert!(findings[0].to_string().ends_with(expected), "{findings:?}");
}

#[test]
fn the_log_may_grow_between_one_and_1024_mib() {
    let with = |value: &str| NodeConfig::parse(&format!("{GOOD}[store]\nlog_mib = {value}\n"));
    assert_eq!(with("1024").unwrap().log_mib, 1024);
    for bad in ["0", "1025", "-1", "\"4\""] {
        let findings = with(bad).unwrap_err();
        assert!(
            findings[0]
                .to_string()
                .ends_with("[store] log_mib: expected a whole number from 1 to 1024"),
            "{findings:?}"
        );
    }
}

#[test]
fn others_reach_the_channel_by_an_address_and_a_port() {
    for bad in ["192.0.2.1:0", "0.0.0.0:5406", "[::]:5406", "192.0.2.1"] {
        let findings = NodeConfig::parse(&format!("{GOOD}[channel]\nlisten = \"{bad}\"\n"));
        let findings = findings.unwrap_err();
        assert!(findings[0].to_string().contains("by which the others reach this node"), "{bad}");
    }
}

#[test]
fn a_run_directory_leaves_room_for_a_socket() {
    let with = |length: usize| {
        let run = format!("/{}", "x".repeat(length - 1));
        let (before, after) = GOOD.split_once("run = ").unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        NodeConfig::parse(&format!("{before}run = \"{run}\"\n{after}"))
    };
    let socket = with(94).unwrap().control_socket();
    assert_eq!(socket.as_os_str().len(), 107);
    let findings = with(95).unwrap_err();
    assert!(findings[0].to_string().contains("found 95 bytes, at most 94"), "{findings:?}");
}

#[test]
fn two_links_cannot_share_a_number_or_an_address() {
    let text = "[cluster]\nname = \"c\"\n[node]\nname = \"n\"\n\
                [[link]]\nnumber = 0\nlocal = \"10.0.0.1\"\n\
                [[link]]\nnumber = 0\nlocal = \"10.0.0.1\"\n";
    let findings = NodeConfig::parse(text).unwrap_err();
    assert_eq!(findings.len(), 2, "{findings:?}");
}

#[test]
fn text_that_is_not_toml_names_the_line() {
    let findings = NodeConfig::parse("[cluster]\nname = \n").unwrap_err();
    assert_eq!(findings[0].line, 2, "{findings:?}");
}

#[test]
fn no_text_makes_it_panic() {
    for cut in 0..GOOD.len() {
        if GOOD.is_char_boundary(cut) {
            drop(NodeConfig::parse(&GOOD[..cut]));
        }
    }
}

#[test]
fn a_name_no_certificate_can_hold_is_refused_in_the_words_of_init_and_join() {
    for name in ["a..b", "-n1", "n1-", "n1.", ".n1", "n 1", "n1/2", "10.0.0.1", "", "nöde"] {
        let found = NodeConfig::parse(&GOOD.replace("\"n1\"", &format!("{name:?}"))).unwrap_err();
        let said = crate::trust::check_name(name).unwrap_err().to_string();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert_eq!((found[0].line, &found[0].message), (5, &said), "{name}");
    }
}

#[test]
fn a_link_may_name_its_interface() {
    let config = NodeConfig::parse(GOOD).unwrap();
    assert_eq!(config.links[0].device, None);
    let text = GOOD.replace("port = 6000", "port = 6000\ndevice = \"eth1.7\"");
    let config = NodeConfig::parse(&text).unwrap();
    assert_eq!(config.links[0].device.as_deref(), Some("eth1.7"));
    for wrong in ["", "a/b", "a b", "sixteen-bytes-xx", "..", "eth0:1"] {
        let text = GOOD.replace("port = 6000", &format!("device = {wrong:?}"));
        let found = NodeConfig::parse(&text).unwrap_err();
        assert!(found[0].message.contains("the name of an interface"), "{found:?}");
    }
}

#[test]
fn a_link_local_address_is_refused() {
    let found = NodeConfig::parse(&GOOD.replace("fd00::1", "fe80::1")).unwrap_err();
    assert!(found[0].message.contains("link-local"), "{found:?}");
}

#[test]
fn agents_of_others_have_a_root_and_an_environment() {
    let config = NodeConfig::parse(GOOD).unwrap();
    assert_eq!(config.agents, AgentsConfig::default());
    let more = "[agents]\nocf_root = \"/opt/ocf\"\nenvironment = { HA_VARRUN = \"/run/n1\" }\n";
    let config = NodeConfig::parse(&format!("{GOOD}\n{more}")).unwrap();
    assert_eq!(config.agents.ocf_root, std::path::Path::new("/opt/ocf"));
    assert_eq!(config.agents.environment["HA_VARRUN"], "/run/n1");
    for (wrong, part) in [
        ("ocf_root = \"ocf\"", "absolute path"),
        ("environment = \"A=b\"", "expected a table"),
        ("environment = { A = 1 }", "quoted text"),
        ("environment = { \"A=b\" = \"c\" }", "cannot be a variable"),
        ("ocfroot = \"/x\"", "ocf_root"),
    ] {
        let found = NodeConfig::parse(&format!("{GOOD}\n[agents]\n{wrong}\n")).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains(part), "{found:?}");
    }
}
