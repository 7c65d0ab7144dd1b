//! What is read and written besides the report.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args as _, Parser};
use haven_cib::Cib;
use haven_simulate::{Args, Snapshot};

const DOCUMENT: &str = r#"<cib validate-with="pacemaker-3.9" have-quorum="1" execution-date="1700000000">
  <configuration>
    <crm_config/>
    <nodes><node id="1" uname="a"/><node id="2" uname="b"/></nodes>
    <resources>
      <primitive id="vip" class="ocf" provider="haven" type="ip">
        <meta_attributes id="vip-meta">
          <nvpair id="vip-requires" name="requires" value="lease"/>
        </meta_attributes>
      </primitive>
    </resources>
    <constraints/>
  </configuration>
  <status>
    <node_state id="1" uname="a" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources/></lrm></node_state>
    <node_state id="2" uname="b" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="2"><lrm_resources/></lrm></node_state>
  </status>
</cib>"#;

fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn live() -> Result<Snapshot, String> {
    Snapshot::of_document(DOCUMENT)
}

/// Runs a command; code, report and errors.
fn simulate(args: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let typed = ["simulate"].iter().chain(args);
    let args = Args::try_parse_from(typed).unwrap();
    let code = haven_simulate::run_with(&args, Some(&live), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_running_cluster_is_asked_and_what_leaves_it_needs_no_lease() {
    let dir = folder("live");
    let file = dir.join("out.xml");
    let (code, report, said) = simulate(&["-L", "-S", "-O", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    assert!(report.starts_with("Current cluster status:\n"), "{report}");
    assert!(report.contains("Start      vip"), "{report}");
    assert!(said.contains("requires=lease is written as requires=quorum in 1 places"), "{said}");
    let (cib, status) = Cib::from_xml(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(cib.to_xml().contains(r#"name="requires" value="quorum""#));
    let history = status.nodes.iter().flat_map(|n| &n.resources).flat_map(|r| &r.operations);
    assert!(history.into_iter().any(|o| o.operation == "start" && o.rc == 0));
}

#[test]
fn what_no_schema_knows_is_refused_where_the_document_names_a_schema() {
    let dir = folder("unknown");
    let file = dir.join("cib.xml");
    let path = file.to_str().unwrap();
    let odd = DOCUMENT.replace("type=\"ip\"", "type=\"ip\" colour=\"red\"");
    fs::write(&file, &odd).unwrap();
    let (code, _, said) = simulate(&["-x", path]);
    assert_ne!(code, 0);
    assert!(said.contains("line 6: <primitive> has an attribute \"colour\""), "{said}");
    let (code, report, said) = simulate(&["-x", path, "--lenient"]);
    assert!(code == 0 && report.contains("vip"), "{said}");
    // As crm_simulate takes it.
    fs::write(&file, odd.replace("pacemaker-3.9", "none")).unwrap();
    let (code, report, said) = simulate(&["-x", path]);
    assert!(code == 0 && report.contains("vip"), "{said}");
}

#[test]
fn an_ended_lease_frees_the_address() {
    let dir = folder("lease");
    let file = dir.join("cib.xml");
    fs::write(&file, DOCUMENT).unwrap();
    let path = file.to_str().unwrap();
    simulate(&["-x", path, "-X"]);
    let (_, report, _) = simulate(&["-x", path, "-S", "-f", "a"]);
    let carried = report.split("Executing Cluster Transition:").nth(1).unwrap();
    assert!(carried.contains("Cluster action:  lease_ended on a"), "{report}");
    assert!(carried.contains("vip\t(ocf:haven:ip):\t Started b\n"), "{report}");
}

#[test]
fn a_result_is_kept_in_the_file_that_was_read() {
    let dir = folder("in-place");
    let file = dir.join("cib.xml");
    fs::write(&file, DOCUMENT).unwrap();
    let (code, _, said) = simulate(&["-x", file.to_str().unwrap(), "-X"]);
    assert_eq!((code, said.as_str()), (0, ""));
    let (_, report, _) = simulate(&["-x", file.to_str().unwrap(), "-R"]);
    assert!(report.contains("vip\t(ocf:haven:ip):\t Started"), "{report}");
    assert!(report.ends_with("Transition Summary:\n"), "{report}");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.contains(r#"value="lease""#), "what is read from a file stays as it is");
}

#[test]
fn everything_comes_as_one_json_document() {
    let dir = folder("json");
    let file = dir.join("cib.xml");
    fs::write(&file, DOCUMENT).unwrap();
    let (_, text, _) =
        simulate(&["-x", file.to_str().unwrap(), "-S", "--json", "-F", "vip_start_0@a=1"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["before"]["resources"][0]["role"], "Stopped");
    assert_eq!(json["after"]["resources"][0]["failed"], true);
    let executed = json["executed"].as_array().unwrap();
    assert!(
        executed.iter().any(|l| l == "Resource action: vip             start on a"),
        "{executed:?}"
    );
    assert!(executed.iter().any(|l| l.as_str().unwrap().ends_with("failed with rc=1")));
    assert!(json["graph"]["actions"].as_array().is_some_and(|a| !a.is_empty()));
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    let dir = folder("bad");
    let file = dir.join("bad.xml");
    fs::write(&file, "<cib>\n<configuration>\n</cib>").unwrap();
    let (code, report, said) = simulate(&["-x", file.to_str().unwrap(), "-S"]);
    assert_eq!((code, report.as_str()), (1, ""));
    assert!(said.contains("line 3"), "{said}");
    let (code, _, said) = simulate(&["-x", "/nowhere/cib.xml"]);
    assert!(code == 1 && said.contains("/nowhere/cib.xml"), "{said}");
}

#[test]
fn options_are_those_of_crm_simulate_bundled_and_long() {
    for typed in [
        vec!["-sSQx", "f"],
        vec!["-x", "f", "-VVV", "-j", "--pending", "--verbose"],
        vec!["--xml-file=f", "--run", "--show-scores", "--show-utilization", "--quiet"],
        vec!["-p", "-RU", "-N2", "-P", "folder"],
        vec!["-L", "-u", "a", "-d", "b", "-f", "c", "-i", "x_monitor_0@a=1", "-F", "x_start_0@a=1"],
        vec!["-x", "f", "-q", "1", "-w", "true", "-g", "t", "-r", "t", "-b", "t", "-e", "t"],
        vec!["-x", "f", "-I", "i", "-O", "o", "-G", "g", "-D", "d", "-a", "-t", "2020-01-01"],
        vec!["-x", "f", "-X", "-A", "-c", "--output-as", "text", "--output-to", "o"],
        vec!["-x", "f", "-L"],
        vec!["-L", "-x", "f"],
    ] {
        // As a part of another command line, which is how people meet it.
        let command = Args::augment_args(clap::Command::new("simulate"));
        let found = command.try_get_matches_from(["simulate"].iter().chain(&typed));
        assert!(found.is_ok(), "{typed:?}: {}", found.err().unwrap());
    }
    let args = Args::try_parse_from(["simulate", "-u", "a", "-u", "b"]).unwrap();
    assert_eq!(args.node_up, ["a", "b"]);
}
