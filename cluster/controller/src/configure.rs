//! The configuration as text, in and out.

use haven_api::{ApiError, Code, Finding, Format, Load, LoadMode, ReplyBody, Severity};
use haven_cib::Cib;
use haven_cib::crm::{self, Loaded, Mode, Unknowns};
use haven_policy::Options;

use crate::controller::Controller;
use crate::documents;
use crate::foreign::is_foreign;
use crate::quorum;
use crate::waiting::Change;

/// How a text is to be read.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) format: Format,
    pub(crate) mode: LoadMode,
    /// What no schema knows is kept.
    pub(crate) lenient: bool,
}

impl Manner {
    pub(crate) const fn of(load: &Load) -> Self {
        Self { format: load.format, mode: load.mode, lenient: load.lenient }
    }
}

impl Controller {
    pub(crate) fn show(&self, format: Format) -> Result<ReplyBody, ApiError> {
        let cib = &self.state.cib;
        let text = match format {
            Format::Crm => crm::show(cib),
            Format::Xml => cib.to_xml(),
            Format::Json => serde_json::to_string_pretty(cib).map_err(|error| {
                ApiError::new(Code::Internal, format!("cannot write the configuration: {error}"))
            })?,
        };
        Ok(ReplyBody::Configuration { version: self.api_version(), format, text })
    }

    pub(crate) fn verify(&self, text: Option<&str>, manner: Manner) -> Result<ReplyBody, ApiError> {
        let findings = match text {
            None => self.judged(&self.state.cib),
            Some(text) => match self.read(text, manner) {
                Ok((loaded, told)) => {
                    let mut judged = crm::verify(&loaded.cib, &self.facts());
                    self.excuse_inherited(&loaded.cib, &mut judged);
                    loaded.locate(&mut judged);
                    let votes = self.judged_votes(&loaded.cib);
                    told.into_iter().chain(judged.into_iter().map(finding)).chain(votes).collect()
                }
                Err(findings) => findings,
            },
        };
        Ok(ReplyBody::Verified { findings })
    }

    /// The configuration that loading a text would make; nothing is changed by this.
    pub(crate) fn loaded(&self, load: &Load) -> Result<(Cib, Change), ApiError> {
        if let Some(expected) = load.expected.filter(|expected| *expected != self.api_version()) {
            return Err(self.unexpected_version(expected));
        }
        let in_force = &self.state.cib;
        let base = if load.expected.is_some() { in_force } else { self.newest() };
        let (mut loaded, mut told) = self.loaded_from(base, load)?;
        if base.version != in_force.version && self.differs_in_leases(base, &loaded.cib) {
            (loaded, told) = self.loaded_from(in_force, load)?;
        }
        if load.mode == LoadMode::Replace && !load.force {
            self.leaves_something(&loaded.cib)?;
        }
        told.extend(self.accepted(&loaded.cib, load.force, |judged| loaded.locate(judged))?);
        let changed = loaded.changed;
        let objects = if changed.len() == 1 { "object" } else { "objects" };
        let what = load.message.clone();
        let what = what.unwrap_or_else(|| format!("load {} {objects}", changed.len()));
        Ok((loaded.cib, Change::configuration(what, changed, told)))
    }

    fn loaded_from(&self, base: &Cib, load: &Load) -> Result<(Loaded, Vec<Finding>), ApiError> {
        self.read_from(base, &load.text, Manner::of(load)).map_err(|findings| {
            ApiError::new(Code::BadData, "the text cannot be loaded; nothing was changed")
                .findings(findings)
        })
    }

    /// The findings about a configuration that may be committed, which `locate` gives their places.
    pub(crate) fn accepted(
        &self,
        cib: &Cib,
        force: bool,
        locate: impl FnOnce(&mut [crm::Finding]),
    ) -> Result<Vec<Finding>, ApiError> {
        let mut judged = crm::verify(cib, &self.facts());
        self.excuse_inherited(cib, &mut judged);
        locate(&mut judged);
        let votes = self.judged_votes(cib);
        let refused =
            judged.iter().any(|f| f.is_error() && !is_foreign(f) && !(force && f.overridable))
                || (!force && self.worsens(&judged))
                || votes.iter().any(|finding| finding.severity == Severity::Error);
        let findings = judged.into_iter().map(finding).chain(votes).collect();
        if refused {
            let message = "the configuration is refused; nothing was changed";
            return Err(ApiError::new(Code::Configuration, message).findings(findings));
        }
        self.keeps_lease_groups(cib)?;
        Ok(findings)
    }

    /// The configuration that a text would make of the one in force, and what is to be told of it.
    pub(crate) fn read(
        &self,
        text: &str,
        manner: Manner,
    ) -> Result<(Loaded, Vec<Finding>), Vec<Finding>> {
        self.read_from(&self.state.cib, text, manner)
    }

    fn read_from(
        &self,
        base: &Cib,
        text: &str,
        manner: Manner,
    ) -> Result<(Loaded, Vec<Finding>), Vec<Finding>> {
        let mode = match manner.mode {
            LoadMode::Update => Mode::Update,
            LoadMode::Replace => Mode::Replace,
        };
        let unknowns = if manner.lenient { Unknowns::Keep } else { Unknowns::Refuse };
        let bad_xml = |error| documents::bad_xml(&error);
        let mut told = Vec::new();
        let cib = match manner.format {
            Format::Crm => {
                return crm::load_with(base, text, mode, unknowns)
                    .map(|loaded| (loaded, told))
                    .map_err(|findings| findings.into_iter().map(finding).collect());
            }
            Format::Xml if manner.lenient => Cib::from_xml_lenient(text).map_err(bad_xml)?.0,
            Format::Xml => Cib::from_xml(text).map_err(bad_xml)?.0,
            Format::Json => {
                let (cib, left_out) = documents::from_json(text, manner.lenient)?;
                told = left_out;
                cib
            }
        };
        // Lines of the text between are nobody's: an object stands where its id stands in the document.
        match crm::load_document(base, &cib, mode, unknowns) {
            Ok(loaded) => Ok((documents::placed(text, loaded), told)),
            Err(findings) => Err(findings
                .into_iter()
                .map(|found| documents::place(text, finding(found)))
                .collect()),
        }
    }

    /// Everything that can be said against a configuration.
    fn judged(&self, cib: &Cib) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            crm::verify(cib, &self.facts()).into_iter().map(finding).collect();
        findings.extend(self.judged_votes(cib));
        findings
    }

    /// What can be said against the options of votes.
    fn judged_votes(&self, cib: &Cib) -> Vec<Finding> {
        let of = |code: &str, severity, message: &str, remedy: Option<&str>| Finding {
            code: code.to_owned(),
            severity,
            line: None,
            column: None,
            object: Some("property".to_owned()),
            message: message.to_owned(),
            nearest: None,
            remedy: remedy.map(str::to_owned),
        };
        let wrong = quorum::judged(cib, &self.state.members);
        let errors = wrong.iter().map(|text| match text.split_once(": ") {
            Some((message, remedy)) => of("HV0320", Severity::Error, message, Some(remedy)),
            None => of("HV0320", Severity::Error, text, None),
        });
        let hints = quorum::hints(cib)
            .into_iter()
            .map(|(message, remedy)| of("HV0321", Severity::Warning, message, Some(remedy)));
        errors.chain(hints).collect()
    }

    /// What the verifier must know of the cluster.
    pub(crate) fn facts(&self) -> crm::Facts {
        let counted = self.counted_members();
        let members = self.state.members.values().map(|member| crm::MemberFacts {
            name: member.name.clone(),
            witness: member.role == crate::command::Role::Witness,
            votes: counted.contains_key(&member.id),
        });
        let talk = self.state.members.values().flat_map(|member| {
            let links = member.links.iter().map(|(_, at)| at.ip());
            links.chain([member.channel.ip()]).map(|ip| (ip, member.name.clone()))
        });
        crm::Facts {
            members: Some(members.collect()),
            reserved: talk.filter(|(ip, _)| !ip.is_unspecified()).collect(),
            foreign: self.foreign.clone(),
            here: self.config.name.clone(),
            ..self.config.verification.clone()
        }
    }

    /// Lines of scores of the present configuration and status.
    pub(crate) fn score_lines(&self) -> Vec<String> {
        let quorate = self.quorum.verdict.quorate && self.leader.is_some();
        let status = self.picture(&self.view.members, quorate);
        let options =
            Options { facts: self.config.facts.clone(), scores: true, ..Options::default() };
        let now = haven_base::WallTime::default();
        haven_policy::schedule(&self.state.cib, &status, now, &options).scores
    }
}

pub(crate) fn finding(found: crm::Finding) -> Finding {
    Finding {
        code: found.code,
        severity: match found.severity {
            crm::Severity::Error => Severity::Error,
            crm::Severity::Warning => Severity::Warning,
            crm::Severity::Advice => Severity::Advice,
        },
        line: found.line,
        column: found.column,
        object: found.object,
        message: found.message,
        nearest: found.nearest,
        remedy: found.remedy,
    }
}
