//! Which resources run under a lease, as the configuration says it and the agents' metadata do.

use haven_cib::{Cib, Leasing};

use crate::facts::AgentFacts;

/// Every primitive that redirects traffic, or asks for a lease itself.
#[must_use]
pub fn leasings<'a>(cib: &'a Cib, facts: &AgentFacts) -> Vec<Leasing<'a>> {
    haven_cib::leasings(cib, |class, provider, kind| facts.declare_lease(class, provider, kind))
}

/// The same of one primitive; none where it has nothing to do with leases.
#[must_use]
pub fn leasing<'a>(cib: &'a Cib, facts: &AgentFacts, primitive: &str) -> Option<Leasing<'a>> {
    let declares = |class: Option<&str>, provider: Option<&str>, kind: Option<&str>| {
        facts.declare_lease(class, provider, kind)
    };
    haven_cib::leasing(cib, declares, primitive)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use haven_base::WallTime;
    use haven_cib::crm;

    use super::*;
    use crate::{Options, cluster_state, schedule};

    const ONE_NODE: &str = r#"<cib validate-with="pacemaker-3.9" have-quorum="1" dc-uuid="1"><configuration>
<crm_config/><nodes><node id="1" uname="n1"/></nodes><resources/><constraints/></configuration><status>
<node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/></status></cib>"#;
    const VIP: &str = "primitive it ocf:haven:ip ip=192.0.2.1";

    /// Of the resource `it`: that it is planned as under a lease, and that it is to run.
    fn planned(lines: &str) -> (bool, bool) {
        let (base, status) = Cib::from_xml(ONE_NODE).unwrap();
        let cib = crm::load(&base, lines, crm::Mode::Update).unwrap().cib;
        let now = WallTime::from_seconds(1_700_000_000);
        let state = cluster_state(&cib, &status, now, &Options::default());
        let it = state.resources.iter().find(|resource| resource.id == "it").unwrap();
        let placed = schedule(&cib, &status, now, &Options::default()).placements;
        (it.leased, placed.iter().any(|placement| placement.resource == "it"))
    }

    // spec: L8
    #[test]
    fn a_rule_about_requires_counts_as_little_for_an_address_as_one_about_lease() {
        let ruled = "rule date gt 2020-01-01 requires=quorum";
        for lines in [
            VIP.to_owned(),
            format!("{VIP} meta {ruled}"),
            format!("{VIP}\nrsc_defaults {ruled}"),
            format!("{VIP} meta {ruled} meta lease=off"),
        ] {
            assert_eq!(planned(&lines), (true, true), "{lines}");
        }
        // It holds: another word of the same block counts.
        let stopped = format!("{VIP} meta {ruled} target-role=Stopped");
        assert_eq!(planned(&stopped), (true, false));
    }

    #[test]
    fn with_fencing_asked_for_and_no_device_only_leases_let_something_start() {
        assert_eq!(planned(&format!("{VIP} meta requires=quorum")), (false, false));
        assert_eq!(planned(&format!("{VIP} meta lease=off")), (true, true));
        for meta in ["", " meta requires=lease", " meta requires=quorum", " meta requires=nothing"]
        {
            let lines = format!("primitive it ocf:heartbeat:Dummy{meta}");
            assert_eq!(planned(&lines), (false, false), "{lines}");
            let without = format!("{lines}\nproperty stonith-enabled=false");
            assert_eq!(planned(&without), (false, true), "{without}");
        }
    }
}
