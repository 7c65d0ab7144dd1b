//! What a configuration may be though judging finds fault with it, and what it may not be though judging does not.

use std::collections::BTreeSet;

use haven_api::{ApiError, Code};
use haven_cib::{Cib, crm};

use crate::controller::Controller;
use crate::leases::leased_primitives;

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
