//! The configuration as text, in and out.

use haven_api::{ApiError, Code, Finding, Format, Load, LoadMode, ReplyBody, Severity};
use haven_cib::Cib;
use haven_cib::crm::{self, Loaded, Mode, Unknowns};
use haven_policy::Options;

use crate::controller::Controller;
use crate::documents::{self, Places, Unread};
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
                Ok((loaded, told)) => told.into_iter().chain(self.judged_text(&loaded)).collect(),
                Err(findings) => findings,
            },
        };
        Ok(ReplyBody::Verified { findings })
    }

    /// Everything that can be said against what a text would make.
    pub(crate) fn judged_text(&self, loaded: &Loaded) -> Vec<Finding> {
        let mut judged = crm::verify(&loaded.cib, &self.facts());
        self.excuse_inherited(&loaded.cib, &mut judged);
        loaded.locate(&mut judged);
        let votes = self.judged_votes(&loaded.cib);
        judged.into_iter().map(finding).chain(votes).collect()
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
        if manner.format == Format::Crm {
            let attempt = crm::attempt(base, text, mode, unknowns);
            let further = self.further(&attempt, !attempt.findings().is_empty());
            return attempt
                .settle()
                .map(|loaded| (loaded, Vec::new()))
                .map_err(|found| in_order(found.into_iter().map(finding).chain(further)));
        }
        // Lines of the text between are nobody's: an object stands where its id stands in the document.
        let (cib, told) = match document(text, manner) {
            Ok(read) => read,
            Err(Unread { findings, rest: None }) => return Err(findings),
            Err(Unread { mut findings, rest: Some(cib) }) => {
                let objects = findings.iter().filter_map(|found| found.object.as_deref());
                let attempt = crm::attempt_rest(base, &cib, mode, &objects.collect());
                // What cannot be kept is refused for being unknown already.
                let own = attempt.findings().iter().filter(|found| found.code != "HV0400");
                let mut more: Vec<Finding> = own.cloned().map(finding).collect();
                more.extend(self.further(&attempt, true));
                more.retain(|found| found.severity == Severity::Error);
                let places = Places::of(text);
                findings.extend(more.into_iter().map(|found| places.place(found)));
                return Err(in_order(findings));
            }
        };
        let attempt = crm::attempt_document(base, &cib, mode, unknowns);
        let further = self.further(&attempt, !attempt.findings().is_empty());
        match attempt.settle() {
            Ok(loaded) => Ok((Places::of(text).placed(loaded), told)),
            Err(found) => {
                let places = Places::of(text);
                let found = found.into_iter().map(finding).chain(further);
                Err(in_order(found.map(|found| places.place(found))))
            }
        }
    }

    /// What judging finds in a text that has errors already; nothing where it is not `refused` for any.
    fn further(&self, attempt: &crm::Attempt, refused: bool) -> Vec<Finding> {
        if !refused {
            return Vec::new();
        }
        let mut judged = attempt.judged(&self.facts());
        self.excuse_inherited(attempt.cib(), &mut judged);
        // What the text does not name was told when it came, and keeps nobody from changing something else.
        judged.retain(|found| found.line.is_some() || (found.is_error() && !is_foreign(found)));
        let mut votes = self.judged_votes(attempt.cib());
        votes.retain(|found| found.severity == Severity::Error && !attempt.lacks_options());
        judged.into_iter().map(finding).chain(votes).collect()
    }

    /// Everything that can be said against a configuration.
    fn judged(&self, cib: &Cib) -> Vec<Finding> {
        let mut judged = crm::verify(cib, &self.facts());
        self.excuse_inherited(cib, &mut judged);
        judged.into_iter().map(finding).chain(self.judged_votes(cib)).collect()
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

/// The configuration that a document of XML or JSON holds, and what is to be told of it.
fn document(text: &str, manner: Manner) -> Result<(Cib, Vec<Finding>), Unread> {
    if manner.format == Format::Json {
        return documents::from_json(text, manner.lenient);
    }
    let known = || Cib::from_xml_lenient(text).map(|(cib, ..)| (cib, Vec::new()));
    let read = match manner.lenient {
        true => known(),
        false => Cib::from_xml(text).map(|(cib, _)| (cib, Vec::new())),
    };
    read.map_err(|error| {
        let rest = known().ok().map(|(cib, _)| Box::new(cib));
        Unread { findings: documents::bad_xml(&error), rest }
    })
}

/// Errors first, each gravity in the order of lines.
fn in_order(findings: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = findings.into_iter().collect();
    findings.sort_by_key(|found| (found.severity, found.line, found.column));
    findings
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

#[cfg(test)]
mod tests {
    use haven_api::RequestBody;

    use super::*;
    use crate::bench::{Bench, VIP};

    /// An error for each stage of loading, each on the line of its number.
    const LINES: &str = "\
primitve k ocf:heartbeat:Dummy
primitive w ocf:heartbeat:Dummy params $id-ref=nowhere
group g q k
location l zz 100: n1
property no-quorum-polcy=stop
";
    const TOLD: [(&str, u32); 5] =
        [("HV0101", 1), ("HV0205", 2), ("HV0201", 3), ("HV0306", 4), ("HV0308", 5)];

    fn codes(findings: &[Finding]) -> Vec<(&str, u32)> {
        let errors = findings.iter().filter(|found| found.severity == Severity::Error);
        errors.map(|found| (found.code.as_str(), found.line.unwrap_or_default())).collect()
    }

    /// The errors of loading and of verifying a text, which are the same, and after which nothing has changed.
    #[track_caller]
    fn refused(text: &str, format: Format, mode: LoadMode) -> Vec<Finding> {
        let mut bench = Bench::new(VIP);
        let at = bench.coordinator();
        let before = bench.nodes[&haven_types::NodeId(at)].state.cib.clone();
        let load = Load { text: text.to_owned(), format, mode, ..Load::default() };
        let error = bench.answer(at, RequestBody::ConfigureLoad(load)).unwrap_err();
        let text = Some(text.to_owned());
        let verify = RequestBody::ConfigureVerify { text, format, mode, lenient: false };
        let ReplyBody::Verified { findings } = bench.answer(at, verify).unwrap() else { panic!() };
        assert_eq!(findings, error.findings);
        for node in bench.nodes.values() {
            assert_eq!(node.state.cib, before);
        }
        findings
    }

    #[test]
    fn errors_of_every_stage_are_told_by_load_and_verify_in_one_go_and_nothing_is_changed() {
        for mode in [LoadMode::Update, LoadMode::Replace] {
            assert_eq!(codes(&refused(LINES, Format::Crm, mode)), TOLD);
        }
    }

    #[test]
    fn a_document_with_unknown_words_is_judged_all_the_same() {
        let xml = r#"<cib validate-with="pacemaker-3.0"><configuration><crm_config/><nodes/><resources>
<primitive id="a" class="lsb" type="a" colour="red"/><pimitive id="b" class="lsb" type="b"/>
</resources><constraints>
<rsc_location id="l" rsc="zz" node="n1" score="5"/><rsc_location id="m" rsc="b" node="n1" score="5"/>
</constraints></configuration></cib>"#;
        let json = r#"{"resources": [
 {"Primitive": {"id": "a", "class": "lsb", "kind": "a", "colour": "red"}}],
 "constraints": [
 {"Location": {"id": "l", "resource": "zz", "node": "n1", "score": "5"}}]}"#;
        for (text, format) in [(xml, Format::Xml), (json, Format::Json)] {
            let found = refused(text, format, LoadMode::Replace);
            let mut codes = codes(&found);
            codes.dedup();
            assert_eq!(codes, [("HV0401", 2), ("HV0306", 4)], "{found:#?}");
            assert!(found.iter().all(|it| it.object.as_deref() != Some("m")), "{found:#?}");
        }
    }

    #[test]
    fn what_is_in_force_is_not_an_error_for_having_been_there_before() {
        let mut bench = Bench::new(&format!("{VIP}\nclone c vip meta clone-max=1"));
        let at = bench.coordinator();
        for controller in bench.nodes.values_mut() {
            let params = ["ip", "nic"].map(|name| (name.to_owned(), crm::ParamFacts::default()));
            let ip = crm::AgentFacts { lease: true, params: params.into(), judge: None };
            controller.config.verification.agents.insert("ocf:haven:ip".to_owned(), ip);
        }
        let (format, mode) = (Format::Crm, LoadMode::Update);
        let verify = RequestBody::ConfigureVerify { text: None, format, mode, lenient: false };
        let ReplyBody::Verified { findings } = bench.answer(at, verify).unwrap() else { panic!() };
        let found = findings.iter().find(|found| found.code == "HV0328").unwrap();
        assert_eq!(found.severity, Severity::Warning, "{found:?}");
        assert_eq!(codes(&findings), []);
    }

    /// Codes of the errors of a document, nothing else than `colour` or a misspelt element wrong in it.
    #[track_caller]
    fn told_of(text: &str, format: Format) -> Vec<String> {
        let found = refused(text, format, LoadMode::Replace);
        let errors = found.into_iter().filter(|it| it.severity == Severity::Error);
        errors.map(|it| format!("{} {}", it.code, it.object.unwrap_or_default())).collect()
    }

    fn xml(inside: &str) -> String {
        format!(
            r#"<cib validate-with="pacemaker-3.0"><configuration><nodes/>{inside}</configuration></cib>"#
        )
    }

    #[test]
    fn one_misspelt_element_is_one_error_whatever_names_what_is_in_it() {
        let primitive = r#"<primitive id="b" class="lsb" type="b"/>"#;
        let location = r#"<constraints><rsc_location id="l" rsc="b" node="n1" score="5"/>
<rsc_colocation id="c" rsc="b" with-rsc="g" score="5"/></constraints>"#;
        let group = format!(r#"<group id="g">{primitive}</group>"#);
        let whole = xml(&format!("<crm_config/><resources>{group}</resources>{location}"));
        for (right, wrong) in
            [("primitive", "pimitive"), ("group", "groop"), ("resources", "resorces")]
        {
            let swap = |end: &str| (format!("<{end}{right}"), format!("<{end}{wrong}"));
            let text = [swap(""), swap("/")]
                .iter()
                .fold(whole.clone(), |text, (right, wrong)| text.replace(right, wrong));
            let told = told_of(&text, Format::Xml);
            assert_eq!(told.len(), 1, "{wrong}: {told:?}");
            assert!(told[0].starts_with("HV0401"), "{told:?}");
        }
        let json = r#"{"resorces": [{"Primitive": {"id": "b", "class": "lsb", "kind": "b"}}],
 "constraints": [
 {"Location": {"id": "l", "resource": "b", "node": "n1", "score": "5"}}]}"#;
        assert_eq!(told_of(json, Format::Json), ["HV0401 "]);
    }
}
