//! What a configuration may be though judging finds fault with it, and what it may not be though judging does not.

use std::collections::BTreeSet;

use haven_api::{ApiError, Code};
use haven_cib::{Cib, crm};
use haven_quorum::{Options, Rules};

use crate::controller::Controller;
use crate::leases::leased_primitives;
use crate::quorum::voters;

impl Controller {
    /// Two nodes without a witness are refused a lease. Where the second came after the addresses, that has happened
    /// already: it is told, and keeps nobody from changing something else or removing what is wrong.
    pub(crate) fn excuse_inherited(&self, cib: &Cib, judged: &mut [crm::Finding]) {
        let leased = |cib| -> BTreeSet<String> {
            let all = leased_primitives(cib, &self.config.facts).into_iter();
            all.map(|(primitive, _)| primitive.id.clone()).collect()
        };
        let found = judged.iter_mut().filter(|finding| finding.code == "HV0311");
        let mut found = found.peekable();
        if found.peek().is_some() && leased(cib).is_subset(&leased(&self.state.cib)) {
            found.for_each(|finding| finding.severity = crm::Severity::Warning);
        }
        self.excuse_older(judged);
    }

    /// What an older version let in is told, and refused only where it is new.
    fn excuse_older(&self, judged: &mut [crm::Finding]) {
        const YOUNGER: [&str; 3] = ["HV0328", "HV0329", "HV0330"];
        let found = judged.iter_mut().filter(|finding| YOUNGER.contains(&finding.code.as_str()));
        let mut found = found.peekable();
        if found.peek().is_none() {
            return;
        }
        let before = crm::verify(&self.state.cib, &self.facts()).into_iter();
        let before: BTreeSet<_> = before.map(|finding| (finding.code, finding.object)).collect();
        found
            .filter(|finding| before.contains(&(finding.code.clone(), finding.object.clone())))
            .for_each(|finding| finding.severity = crm::Severity::Warning);
    }

    /// What status says where judging the configuration in force finds that no majority survives the loss of a node:
    /// by all members, or by those who vote until the others are started.
    // spec: L8 "Two nodes need a witness"
    pub(crate) fn lease_alarm(&self) -> Option<String> {
        if leased_primitives(&self.state.cib, &self.config.facts).is_empty() {
            return None;
        }
        let (members, _) = voters(&self.state.cib, &self.state.members);
        if let Err(refusal) = Rules::of_any(Options::default(), members).lease_majority() {
            return Some(refusal.to_string());
        }
        let refusal = self.quorum.rules().lease_majority().err()?;
        let idle = self.voteless().join(" or ");
        if idle.is_empty() {
            return Some(refusal.to_string());
        }
        Some(format!(
            "two nodes without a witness cannot keep an address through the loss of one: start the daemon on {idle}, \
             which has joined and does not vote yet"
        ))
    }

    /// A text that takes the place of the whole configuration and has no resource is seldom meant: the program that
    /// should have written it failed, or the editor did.
    ///
    /// # Errors
    /// [`Code::Unsafe`] names what would go.
    pub(crate) fn leaves_something(&self, cib: &Cib) -> Result<(), ApiError> {
        const SHOWN: usize = 5;
        let before = &self.state.cib.resources;
        if before.is_empty() || !cib.resources.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&str> = before.iter().take(SHOWN).map(haven_cib::Resource::id).collect();
        let more = format!("{} more", before.len().saturating_sub(SHOWN));
        if before.len() > SHOWN {
            names.push(&more);
        }
        let message = format!(
            "the text has no resource and takes the place of everything: {} would be stopped and removed; nothing \
             was changed",
            names.join(", ")
        );
        Err(ApiError::new(Code::Unsafe, message).remedy("give --force if that is what you want"))
    }
}

#[cfg(test)]
mod tests {
    use haven_api::{Load, LoadMode, RequestBody, Severity};
    use haven_types::NodeId;

    use super::*;
    use crate::bench::{Bench, VIP};

    /// Two full nodes, of which one joined after the address was there.
    fn grown_to_two() -> (Bench, u16) {
        let mut bench = Bench::new(VIP);
        let at = bench.coordinator();
        let gone = bench.ids().into_iter().rfind(|id| *id != at && *id != bench.owner()).unwrap();
        for controller in bench.nodes.values_mut() {
            controller.state.members.remove(&NodeId(gone));
            controller.state.cib.nodes.clear();
            let params = ["ip", "nic"].map(|name| (name.to_owned(), crm::ParamFacts::default()));
            let ip = crm::AgentFacts { lease: true, params: params.into(), judge: None };
            controller.config.verification.agents.insert("ocf:haven:ip".to_owned(), ip);
        }
        (bench, at)
    }

    #[test]
    fn what_two_nodes_have_already_keeps_nobody_from_changing_something_else() {
        let (mut bench, at) = grown_to_two();
        let more = VIP.replace("vip", "more").replace("192.0.2.10", "192.0.2.11");
        let error = bench.load(at, &more, true).unwrap_err();
        assert!(error.findings.iter().any(|it| it.code == "HV0311"), "{error:?}");
        let controller = &bench.nodes[&NodeId(at)];
        for (text, severity) in
            [(VIP.to_owned(), crm::Severity::Warning), (more, crm::Severity::Error)]
        {
            let cib = crm::load(&controller.state.cib, &text, crm::Mode::Update).unwrap().cib;
            let mut judged = crm::verify(&cib, &controller.facts());
            controller.excuse_inherited(&cib, &mut judged);
            let found = judged.iter().find(|it| it.code == "HV0311").unwrap();
            assert_eq!(found.severity, severity, "{text}");
        }
        let findings = controller
            .accepted(&controller.state.cib, false, |_| {})
            .expect("what is there may stay");
        assert!(findings.iter().any(|it| it.severity == Severity::Warning && it.code == "HV0311"));
    }

    #[test]
    fn what_an_older_version_let_in_is_told_and_refused_only_where_it_is_new() {
        let clone = format!("{VIP}\nclone c vip meta clone-max=1");
        let mut bench = Bench::new(&clone);
        let at = bench.coordinator();
        for controller in bench.nodes.values_mut() {
            let params = ["ip", "nic"].map(|name| (name.to_owned(), crm::ParamFacts::default()));
            let ip = crm::AgentFacts { lease: true, params: params.into(), judge: None };
            controller.config.verification.agents.insert("ocf:haven:ip".to_owned(), ip);
        }
        bench.load(at, "property batch-limit=3", false).unwrap();
        let more = clone.replace("vip", "more").replace(" c ", " d ").replace(".10", ".11");
        let error = bench.load(at, &more, false).unwrap_err();
        let of = |object: &str| {
            let found = error.findings.iter().find(|it| it.object.as_deref() == Some(object));
            found.map(|it| (it.code.clone(), it.severity))
        };
        assert_eq!(of("more"), Some(("HV0328".to_owned(), Severity::Error)), "{error:?}");
        assert_eq!(of("vip"), Some(("HV0328".to_owned(), Severity::Warning)), "{error:?}");
        let answer = bench.answer(at, RequestBody::Status).unwrap();
        let haven_api::ReplyBody::Status(status) = answer else { panic!("{answer:?}") };
        let unprotected = status.resources[0].children[0].unprotected.as_ref();
        assert!(unprotected.is_some_and(|why| why.contains("clone")), "{:?}", status.resources);
    }

    #[test]
    fn what_planning_passes_over_is_loaded_by_force_and_an_address_in_a_clone_is_not() {
        let mut bench = Bench::new("property batch-limit=3");
        let at = bench.coordinator();
        for controller in bench.nodes.values_mut() {
            let params = ["ip", "nic"].map(|name| (name.to_owned(), crm::ParamFacts::default()));
            let ip = crm::AgentFacts { lease: true, params: params.into(), judge: None };
            controller.config.verification.agents.insert("ocf:haven:ip".to_owned(), ip);
        }
        let mut refused = |text: &str, force, code: &str| {
            let error = bench.load(at, text, force).unwrap_err();
            assert!(error.findings.iter().any(|it| it.code == code), "{text}: {error:?}");
        };
        let unguarded = "primitive db ocf:haven:Dummy meta requires=lease op monitor interval=10s";
        let ruled = VIP.replace(" op ", " meta rule #uname eq n1 lease=off op ");
        refused(&format!("{VIP}\nclone c vip"), true, "HV0328");
        refused(unguarded, false, "HV0329");
        refused(&ruled, false, "HV0330");
        for text in [unguarded, &ruled] {
            let loaded = bench.load(at, text, true);
            assert!(loaded.is_ok(), "{text}: {loaded:?}");
        }
    }

    #[test]
    fn status_and_the_judgement_of_the_configuration_agree_about_who_has_not_started() {
        let mut bench = Bench::new(VIP);
        let at = bench.coordinator();
        bench.join_fourth();
        let controller = bench.nodes.get_mut(&NodeId(at)).unwrap();
        let params = ["ip", "nic"].map(|name| (name.to_owned(), crm::ParamFacts::default()));
        let ip = crm::AgentFacts { lease: true, params: params.into(), judge: None };
        controller.config.verification.agents.insert("ocf:haven:ip".to_owned(), ip);
        controller.state.cib.nodes.clear();
        let found = |controller: &Controller| {
            let judged = crm::verify(&controller.state.cib, &controller.facts());
            let found = judged.into_iter().find(|it| it.code == "HV0311");
            (found, controller.lease_alarm())
        };
        assert_eq!(found(controller), (None, None), "three vote");
        let voters = controller.configurations.back().unwrap().voters.clone();
        let gone = *voters.iter().rfind(|id| **id != NodeId(at)).unwrap();
        controller.state.members.remove(&gone);
        let _ = controller.renew_rules();
        let (Some(warning), Some(alarm)) = found(controller) else { panic!("two vote") };
        assert_eq!(warning.severity, crm::Severity::Warning);
        for text in [warning.remedy.unwrap(), alarm] {
            assert!(text.contains("start the daemon on n4"), "{text}");
        }
        let other = *voters.iter().find(|id| **id != NodeId(at) && **id != gone).unwrap();
        controller.state.members.remove(&other);
        let _ = controller.renew_rules();
        let (Some(error), Some(alarm)) = found(controller) else { panic!("two are members") };
        assert!(error.is_error() && alarm.contains("add a witness"), "{error} {alarm}");
    }

    #[test]
    fn everything_is_removed_only_by_force() {
        let mut bench = Bench::new(VIP);
        let at = bench.coordinator();
        let replace = |text: &str, force| {
            let (text, mode) = (text.to_owned(), LoadMode::Replace);
            RequestBody::ConfigureLoad(Load { text, mode, force, ..Load::default() })
        };
        for text in ["", "# nothing\n", "property batch-limit=3"] {
            let error = bench.answer(at, replace(text, false)).unwrap_err();
            assert_eq!(error.code, Code::Unsafe, "{text}: {error:?}");
            assert!(error.message.contains("vip would be stopped and removed"), "{error:?}");
        }
        assert!(bench.answer(at, replace("", true)).is_ok());
        assert!(bench.answer(at, replace("", false)).is_ok(), "there is nothing left to remove");
    }
}
