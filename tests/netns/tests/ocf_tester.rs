//! The built-in ip as an OCF agent of another engine, judged by resource-agents' own tester.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use haven_netns_tests::{can_run, haven, skip};

/// A network namespace with one network; removes itself.
struct Namespace(String);

impl Namespace {
    fn new(test: &str) -> Self {
        let name = format!("hvtester-{test}-{}", std::process::id());
        let ip = |args: &[&str]| succeed(Command::new("ip").args(args));
        ip(&["netns", "add", &name]);
        let made = Self(name);
        let name = &made.0;
        ip(&["-n", name, "link", "add", "lan", "type", "veth", "peer", "name", "far"]);
        for link in ["lo", "lan", "far"] {
            ip(&["-n", name, "link", "set", link, "up"]);
        }
        ip(&["-n", name, "addr", "add", "192.0.2.1/24", "dev", "lan"]);
        ip(&["-n", name, "addr", "add", "2001:db8::1/64", "dev", "lan", "nodad"]);
        made
    }

    fn addresses(&self) -> String {
        let shown = Command::new("ip").args(["-n", &self.0, "-o", "addr"]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    }

    fn run(&self, program: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program).args(args);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(environment.iter().copied()).output().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        succeed(Command::new("ip").args(["netns", "del", &self.0]));
    }
}

fn succeed(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_tester_of_resource_agents_finds_no_fault() {
    let tester = Path::new("/usr/sbin/ocf-tester");
    if !can_run("ocf-tester on ocf:haven:ip") {
        return;
    }
    if !tester.exists() || !Path::new("/usr/bin/xmllint").exists() {
        return skip(
            "resource-agents or libxml2-utils is not installed",
            "ocf-tester on ocf:haven:ip",
        );
    }
    let (namespace, root) = (Namespace::new("judged"), tempfile::tempdir().unwrap());
    // The tester asks as nobody, too, so everybody may read it.
    let everybody: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path(), everybody).unwrap();
    let copy = root.path().join("haven-program");
    std::fs::copy(haven(), &copy).unwrap();
    succeed(Command::new(&copy).args(["agent", "--link"]).arg(root.path()));
    let agent = root.path().join("resource.d/haven/ip");
    for ip in ["192.0.2.10", "2001:db8::10"] {
        let ip = format!("ip={ip}");
        let agent = agent.display().to_string();
        let args = ["-v", "-n", "vip", "-o", &ip, "-o", "nic=lan", &agent];
        let judged = namespace.run(tester, &args, &[]);
        let said = String::from_utf8_lossy(&judged.stdout).into_owned();
        let more = String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success(), "{ip}\n{said}\n{more}");
        assert!(said.contains("passed all tests"), "{said}\n{more}");
    }
    assert!(!namespace.addresses().contains("192.0.2.10"), "{}", namespace.addresses());
}

#[test]
fn another_engine_starts_asks_and_stops_by_environment_and_exit_code() {
    if !can_run("ocf:haven:ip for another engine") {
        return;
    }
    let (namespace, root) = (Namespace::new("used"), tempfile::tempdir().unwrap());
    succeed(Command::new(haven()).args(["agent", "--link"]).arg(root.path()));
    let agent = root.path().join("resource.d/haven/ip");
    let vip = [
        ("OCF_RESOURCE_INSTANCE", "vip"),
        ("OCF_RESKEY_ip", "192.0.2.10"),
        ("OCF_RESKEY_cidr_netmask", "24"),
        ("OCF_RESKEY_nic", "lan"),
        ("OCF_RESKEY_CRM_meta_timeout", "20000"),
        ("OCF_RESKEY_crm_feature_set", "3.16.2"),
    ];
    for (action, code) in [
        ("monitor", 7),
        ("start", 0),
        ("monitor", 0),
        ("start", 0),
        ("validate-all", 0),
        ("stop", 0),
        ("stop", 0),
        ("monitor", 7),
        ("promote", 3),
    ] {
        let done = namespace.run(&agent, &[action], &vip);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{action}: {said}");
        assert_eq!(namespace.addresses().contains("192.0.2.10/24"), {
            matches!(action, "start" | "validate-all") || (action == "monitor" && code == 0)
        });
    }
    let wrong = namespace.run(&agent, &["start"], &[("OCF_RESKEY_ip", "no address")]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(6), "{said}");
    assert!(said.starts_with("ocf-exit-reason:"), "{said}");
    let speaks = [("OCF_RA_VERSION_MAJOR", "1"), ("OCF_RA_VERSION_MINOR", "1")];
    let newer = namespace.run(&agent, &["meta-data"], &speaks);
    assert!(String::from_utf8(newer.stdout).unwrap().contains("<special tag=\"haven\">"));
    assert_eq!(namespace.run(&agent, &[], &[]).status.code(), Some(3));
}
