//! What came of loading a text: a configuration, or everything that is wrong with it.

use std::collections::BTreeMap;

use super::doubt::Doubt;
use super::finding::Finding;
use super::verify::{self, Facts};
use crate::model::Cib;

/// A text that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The new configuration. Its version is still that of the old one.
    pub cib: Cib,
    /// Names of objects that were added or changed, in the order of the document, then of those removed.
    pub changed: Vec<String>,
    /// Names of the text's declarations with the lines they start on, to give findings of
    /// [`verify`](super::verify()) their place by [`Loaded::locate`].
    pub declared: Vec<(String, u32)>,
}

impl Loaded {
    /// Adds the line to findings about objects that the text declared, and orders findings of the same
    /// gravity by line.
    pub fn locate(&self, findings: &mut [Finding]) {
        // Of two of one name the first counts.
        let declared: BTreeMap<&str, u32> =
            self.declared.iter().rev().map(|(id, line)| (id.as_str(), *line)).collect();
        for finding in findings.iter_mut().filter(|finding| finding.line.is_none()) {
            let Some(object) = &finding.object else { continue };
            finding.line = declared.get(object.as_str()).copied();
        }
        findings.sort_by_key(|finding| (finding.severity, finding.line));
    }
}

/// A text that was read as far as it goes. With any error there is nothing to be loaded, but what could be read can
/// be judged, so that everything wrong is told in one go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    loaded: Loaded,
    findings: Vec<Finding>,
    doubt: Doubt,
}

impl Attempt {
    pub(super) fn new(loaded: Loaded, mut findings: Vec<Finding>, doubt: Doubt) -> Self {
        findings.sort_by_key(|finding| (finding.line, finding.column));
        Self { loaded, findings, doubt }
    }

    /// The new configuration.
    ///
    /// # Errors
    /// Every error met in reading the text and fitting it together, in the order of lines.
    pub fn settle(self) -> Result<Loaded, Vec<Finding>> {
        if self.findings.is_empty() { Ok(self.loaded) } else { Err(self.findings) }
    }

    /// Every error met in reading the text and fitting it together, in the order of lines.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What could be made of the text; with errors it is only good to be judged.
    #[must_use]
    pub const fn cib(&self) -> &Cib {
        &self.loaded.cib
    }

    /// Whether cluster options may be missing.
    #[must_use]
    pub const fn lacks_options(&self) -> bool {
        self.doubt.lacks_options()
    }

    /// What [`verify`](super::verify()) finds beyond [`findings`](Self::findings), in its place, without what only
    /// follows from them.
    #[must_use]
    pub fn judged(&self, facts: &Facts) -> Vec<Finding> {
        let mut judged = verify::verify_in_doubt(&self.loaded.cib, facts, &self.doubt);
        self.loaded.locate(&mut judged);
        judged
    }

    /// Everything wrong with the text: [`findings`](Self::findings) and [`judged`](Self::judged), errors first, each
    /// gravity in the order of lines.
    #[must_use]
    pub fn verify(&self, facts: &Facts) -> Vec<Finding> {
        let mut all = self.findings.clone();
        all.extend(self.judged(facts));
        all.sort_by_key(|finding| (finding.severity, finding.line, finding.column));
        all
    }
}
