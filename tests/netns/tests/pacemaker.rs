//! Another engine calls haven's agents: Pacemaker and Corosync as Debian packages them.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use haven_lab::pacemaker::{Pacemaker, missing_package};
use haven_lab::{timed, wait};
use haven_netns_tests::{can_run, haven, skip};

const LIMIT: Duration = Duration::from_secs(60);
const VIP: &str = "10.99.0.100";
const RESOURCE: &str = r#"<primitive id="vip" class="ocf" provider="haven" type="ip">
    <instance_attributes id="vip-params"><nvpair id="vip-ip" name="ip" value="10.99.0.100"/>
    <nvpair id="vip-mask" name="cidr_netmask" value="24"/><nvpair id="vip-nic" name="nic" value="lan"/>
    </instance_attributes><operations><op id="vip-monitor" name="monitor" interval="1s" timeout="20s"/>
    </operations></primitive>"#;

/// A copy of this host's agents with links to ours; removes itself.
struct Agents(PathBuf);

impl Agents {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = Self(dir);
        timed::copy_agents(&made.root()).unwrap();
        let linked =
            Command::new(haven()).args(["agent", "--link"]).arg(made.root()).output().unwrap();
        assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
        made
    }

    fn root(&self) -> PathBuf {
        self.0.join("ocf")
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The nodes whose kernel has the address.
fn owners(cluster: &Pacemaker) -> Vec<u8> {
    let has = |node: &u8| {
        let namespace = cluster.namespace(*node);
        let shown = Command::new("ip").args(["-n", &namespace, "-o", "addr"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains(&format!("{VIP}/24"))
    };
    [1, 2].into_iter().filter(has).collect()
}

fn wait_owner(cluster: &Pacemaker, what: &str, done: impl Fn(&[u8]) -> bool) -> u8 {
    let mut last = Vec::new();
    let arrived = wait::until(LIMIT, Duration::from_millis(50), || {
        last = owners(cluster);
        assert!(last.len() < 2, "two owners");
        done(&last)
    });
    let shown = cluster.at(1, &["crm_mon", "-1", "-r", "-f"]).unwrap_or_else(|e| e.to_string());
    assert!(arrived, "{what}: owners {last:?}\n{shown}");
    last.first().copied().unwrap_or_default()
}

#[test]
#[ignore = "forms a cluster of Pacemaker: half a minute"]
fn a_stock_pacemaker_moves_our_address_between_its_nodes() {
    let test = "ocf:haven:ip under Pacemaker and Corosync";
    if !can_run(test) {
        return;
    }
    if let Some(package) = missing_package() {
        return skip(&format!("{package} is not installed"), test);
    }
    let agents = Agents::new("hv-pcmk");
    let cluster = Pacemaker::form("t-pcmk", 2, Some(&agents.root())).unwrap();
    let property = ["crm_attribute", "-t", "crm_config", "-n", "stonith-enabled", "-v", "false"];
    cluster.at(1, &property).unwrap();
    cluster.add_resources(RESOURCE).unwrap();
    let first = wait_owner(&cluster, "the start", |owners| owners.len() == 1);
    let other = 3 - first;
    // Moved as its operator does it.
    cluster.at(1, &["crm_resource", "-r", "vip", "--move", "-N", &format!("p{other}")]).unwrap();
    wait_owner(&cluster, "the move", |owners| owners == [other]);
    // What its monitor misses is mended.
    let namespace = cluster.namespace(other);
    let gone = ["-n", &namespace, "addr", "del", &format!("{VIP}/24"), "dev", "lan"];
    assert!(Command::new("ip").args(gone).status().unwrap().success());
    wait_owner(&cluster, "the recovery", |owners| owners == [other]);
    cluster.at(1, &["crm_resource", "-r", "vip", "--clear"]).unwrap();
    cluster
        .at(1, &["crm_attribute", "-N", &format!("p{other}"), "-n", "standby", "-v", "on"])
        .unwrap();
    wait_owner(&cluster, "standby", |owners| owners == [first]);
    let history = cluster.at(1, &["crm_mon", "-1", "-r", "-f", "-o"]).unwrap();
    assert!(history.contains("ocf:haven:ip"), "{history}");
}
