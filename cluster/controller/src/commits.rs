//! The log of the configuration's changes: who, where, when, why and what; showing and taking back.

use haven_api::{ApiError, Code, CommitRow, ReplyBody, Version};
use haven_cib::Cib;
use haven_cib::crm::{self, ObjectChange, RevertError};

use crate::command::{Authorship, Command};
use crate::configure::finding;
use crate::controller::Controller;
use crate::port::Clock;
use crate::replicated::{Commit, MAX_COMMIT_BYTES, MAX_COMMITS, MAX_MESSAGE};
use crate::request::ReplyTo;
use crate::waiting::Change;

/// Changes by others that an error names, newest first; more are counted.
const NAMED: usize = 5;
/// Objects of a change that a sentence names.
const LISTED: usize = 20;

impl Commit {
    /// A change about to be made.
    pub(crate) fn new(
        version: haven_cib::Version,
        changes: Vec<ObjectChange>,
        by: Authorship,
    ) -> Self {
        let changed = changes.iter().map(|change| change.name().to_owned()).collect();
        Self { version, by, changed, changes: Some(changes) }
    }

    /// It changed nothing in the configuration: a node was confirmed dead.
    fn is_about_a_node(&self) -> bool {
        self.changes.as_ref().is_some_and(Vec::is_empty)
    }

    fn weight(&self) -> usize {
        self.changes.iter().flatten().map(ObjectChange::weight).sum()
    }

    fn row(&self) -> CommitRow {
        CommitRow {
            version: api_version(self.version),
            at: self.by.at,
            author: self.by.author.clone(),
            node: self.by.node.clone(),
            message: self.by.message.clone(),
            changed: self.changed.clone(),
            kept: self.changes.is_some(),
        }
    }
}

/// Keeps the log within its bounds, the same way on every node.
pub(crate) fn bound(commits: &mut Vec<Commit>) {
    let surplus = commits.len().saturating_sub(MAX_COMMITS);
    commits.drain(..surplus);
    let mut room = MAX_COMMIT_BYTES;
    for commit in commits.iter_mut().rev() {
        match room.checked_sub(commit.weight()) {
            Some(left) => room = left,
            None => {
                // What is older goes as well, so that what is kept has no gaps.
                room = 0;
                commit.changes = None;
            }
        }
    }
}

pub(crate) const fn api_version(version: haven_cib::Version) -> Version {
    let haven_cib::Version { admin_epoch, epoch, num_updates } = version;
    Version { admin_epoch, epoch, num_updates }
}

/// What a change of the configuration is counted by; joining nodes do not count.
const fn main_part(version: Version) -> (u64, u64) {
    (version.admin_epoch, version.epoch)
}

impl Controller {
    /// The command that puts a configuration in force.
    pub(crate) fn configure_command(
        &self,
        clock: Clock,
        asked: ReplyTo,
        author: String,
        message: String,
        cib: Cib,
    ) -> Command {
        let node = match asked {
            ReplyTo::Local(_) => self.config.name.clone(),
            ReplyTo::Peer(node, _) => self.name_of(node),
        };
        let message = one_line(&message);
        let changes = crm::changes(self.made_from(&cib), &cib);
        Command::Configure {
            base: cib.version,
            cib: Box::new(cib),
            changes,
            by: Authorship { author, node, message, at: clock.wall },
        }
    }

    /// The sentence about a configuration that has come into force.
    pub(crate) fn in_force(&self, version: haven_cib::Version) -> String {
        let version = api_version(version);
        let by = self.state.commits.last().map_or(String::new(), |commit| {
            let (by, objects) = (&commit.by, listed(&commit.changed));
            format!(", by {} on {} \"{}\": {objects}", by.author, by.node, by.message)
        });
        format!("configuration {version} is in force{by}")
    }

    /// The log, newest first.
    pub(crate) fn commit_log(&self, limit: Option<usize>) -> ReplyBody {
        let newest = self.state.commits.iter().rev().take(limit.unwrap_or(usize::MAX));
        ReplyBody::ConfigurationLog(newest.map(Commit::row).collect())
    }

    /// What lies between two versions.
    pub(crate) fn difference(
        &self,
        from: Option<Version>,
        to: Option<Version>,
    ) -> Result<ReplyBody, ApiError> {
        let current = self.api_version();
        let to = to.unwrap_or(current);
        let commits = &self.state.commits;
        let Some(oldest) = commits.first() else {
            return Err(ApiError::new(Code::NoSuchObject, "the configuration was never changed"));
        };
        let from = from.unwrap_or_else(|| before(api_version(commits[commits.len() - 1].version)));
        if main_part(from) > main_part(to) {
            let message = format!("version {from} is newer than {to}");
            return Err(ApiError::new(Code::Usage, message).remedy("name the older version first"));
        }
        for version in [from, to] {
            self.known_version(version)?;
        }
        if main_part(from) < main_part(before(api_version(oldest.version))) {
            return Err(self.too_old(from));
        }
        let mut steps = Vec::new();
        for commit in commits {
            let version = main_part(api_version(commit.version));
            if version <= main_part(from) || version > main_part(to) {
                continue;
            }
            steps.extend(commit.changes.as_ref().ok_or_else(|| self.too_old(from))?);
        }
        let changes = crm::joined(steps).into_iter().map(|change| haven_api::ObjectChange {
            object: change.name().to_owned(),
            before: change.before,
            after: change.after,
        });
        Ok(ReplyBody::ConfigurationDiff { from, to, changes: changes.collect() })
    }

    fn known_version(&self, version: Version) -> Result<(), ApiError> {
        let current = self.api_version();
        if main_part(version) <= main_part(current) {
            return Ok(());
        }
        let message = format!("there is no version {version} yet: {current} is in force");
        Err(ApiError::new(Code::NoSuchObject, message).remedy("see `haven configure log`"))
    }

    fn too_old(&self, version: Version) -> ApiError {
        let kept = self.state.commits.iter().find(|commit| commit.changes.is_some());
        let message = match kept {
            Some(oldest) => format!(
                "what changed after version {version} is no longer kept: changes are known from {} on",
                before(api_version(oldest.version))
            ),
            None => format!("what changed after version {version} is no longer kept"),
        };
        ApiError::new(Code::NoSuchObject, message).remedy("see `haven configure log`")
    }

    /// The configuration without one earlier change; nothing is changed by this.
    pub(crate) fn undone(
        &self,
        version: Option<Version>,
        force: bool,
    ) -> Result<(Cib, Change), ApiError> {
        let commits = &self.state.commits;
        let found = match version {
            // Who was confirmed dead is no matter of taking back.
            None => commits.iter().rev().find(|commit| !commit.is_about_a_node()),
            Some(version) => {
                self.known_version(version)?;
                let wanted = main_part(version);
                commits.iter().find(|commit| {
                    main_part(api_version(commit.version)) == wanted && !commit.is_about_a_node()
                })
            }
        };
        let Some(commit) = found else {
            let what = version
                .map_or_else(|| "a change".to_owned(), |version| format!("change {version}"));
            let message = format!("cannot take {what} back: the log does not hold it");
            return Err(
                ApiError::new(Code::NoSuchObject, message).remedy("see `haven configure log`")
            );
        };
        let made = api_version(commit.version);
        let Some(changes) = &commit.changes else {
            let message =
                format!("cannot take change {made} back: what it changed is no longer kept");
            return Err(ApiError::new(Code::NoSuchObject, message)
                .remedy("load the wanted lines: haven configure edit"));
        };
        let cib = crm::revert(&self.state.cib, changes)
            .map_err(|error| self.cannot_revert(made, &error))?;
        let findings = self.accepted(&cib, force, |_| ())?;
        let changed = crm::changes(&self.state.cib, &cib);
        let changed = changed.iter().map(|change| change.name().to_owned()).collect();
        let what = format!("take back {made}: {}", commit.by.message);
        Ok((cib, Change::configuration(what, changed, findings)))
    }

    fn cannot_revert(&self, made: Version, error: &RevertError) -> ApiError {
        let cause = match error {
            RevertError::Contradiction(findings) => {
                let message =
                    format!("cannot take change {made} back: {error}; nothing was changed");
                let findings = findings.iter().cloned().map(finding).collect();
                return ApiError::new(Code::Configuration, message).findings(findings).remedy(
                    "take back what needs it first, newest first: see `haven configure log`",
                );
            }
            RevertError::Conflict { object, .. } => object,
        };
        let later =
            self.state.commits.iter().rev().find(|commit| {
                api_version(commit.version) > made && commit.changed.contains(cause)
            });
        let by = later.map_or(String::new(), |commit| {
            let by = &commit.by;
            format!(" (version {} by {} on {})", api_version(commit.version), by.author, by.node)
        });
        let message = format!("cannot take change {made} back: {error}{by}; nothing was changed");
        let remedy = match later {
            Some(commit) => {
                format!("haven configure undo {} first", api_version(commit.version))
            }
            None => "see `haven configure log`, and load the wanted lines".to_owned(),
        };
        ApiError::new(Code::StaleWrite, message).remedy(remedy)
    }

    /// Somebody committed between the making of a change and its own commit.
    pub(crate) fn stale(&self, base: haven_cib::Version, current: haven_cib::Version) -> ApiError {
        let (base, current) = (api_version(base), api_version(current));
        let message = format!(
            "nothing was changed: the change was made from version {base}, meanwhile {current} is in force{}",
            self.meanwhile(base)
        );
        look_first(message, base)
    }

    /// The caller looked at a version that is no longer in force.
    pub(crate) fn unexpected_version(&self, expected: Version) -> ApiError {
        let current = self.api_version();
        let since = self.meanwhile(expected);
        let message = format!(
            "nothing was changed: version {expected} was expected, {current} is in force{since}"
        );
        look_first(message, expected)
    }

    /// What was committed after a version, by whom.
    fn meanwhile(&self, since: Version) -> String {
        let newer: Vec<&Commit> = self
            .state
            .commits
            .iter()
            .rev()
            .take_while(|commit| main_part(api_version(commit.version)) > main_part(since))
            .collect();
        if newer.is_empty() && main_part(since) == main_part(self.api_version()) {
            return ": a node joined or left".to_owned();
        }
        if newer.is_empty() {
            return String::new();
        }
        let named = newer.iter().take(NAMED).map(|commit| {
            let (by, version) = (&commit.by, api_version(commit.version));
            let objects = listed(&commit.changed);
            format!("{version} by {} on {} \"{}\" ({objects})", by.author, by.node, by.message)
        });
        let named: Vec<String> = named.collect();
        let more = newer.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        format!(": {}{more}", named.join("; "))
    }
}

/// The first names of a list, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn look_first(message: String, since: Version) -> ApiError {
    let remedy = format!("look at it: haven configure diff {since}; then make your change again");
    ApiError::new(Code::StaleWrite, message).remedy(remedy)
}

/// The version that a change was made from.
const fn before(made: Version) -> Version {
    Version { admin_epoch: made.admin_epoch, epoch: made.epoch.saturating_sub(1), num_updates: 0 }
}

/// A message as it is kept: one line of bounded length.
pub(crate) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}
