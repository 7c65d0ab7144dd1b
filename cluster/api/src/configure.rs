//! Configuration work over the API: formats, versions, findings.

use std::fmt;

use haven_base::WallTime;
use serde::{Deserialize, Serialize};

/// A notation of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Lines of the crm shell: the form for people.
    #[default]
    Crm,
    /// The CIB document of Pacemaker: the form for interchange.
    Xml,
    /// The form for programs.
    Json,
}

/// What loading does with objects that the text does not name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadMode {
    /// They stay as they are; named ones are added or replaced.
    #[default]
    Update,
    /// They are removed: the text is the whole configuration afterwards.
    Replace,
}

/// A text to be loaded as one transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The new objects, or the new whole, in `format`.
    pub text: String,
    /// Notation of `text`.
    #[serde(default)]
    pub format: Format,
    /// What happens to objects that `text` does not name.
    #[serde(default)]
    pub mode: LoadMode,
    /// Refuse with [`Code::StaleWrite`](crate::Code::StaleWrite) unless this is the current version.
    #[serde(default)]
    pub expected: Option<Version>,
    /// Load in spite of findings that are unsafe but not contradictory.
    #[serde(default)]
    pub force: bool,
    /// Keep what no schema knows instead of refusing it.
    #[serde(default)]
    pub lenient: bool,
    /// What the change is for, for the log; none says what was loaded.
    #[serde(default)]
    pub message: Option<String>,
}

/// The version triple of the configuration, most significant first.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Version {
    /// Raised by hand, to make one copy win over every other.
    pub admin_epoch: u64,
    /// Raised by each committed change of the configuration.
    pub epoch: u64,
    /// Raised by each change of status since `epoch`.
    pub num_updates: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.admin_epoch, self.epoch, self.num_updates)
    }
}

impl std::str::FromStr for Version {
    type Err = String;

    /// Reads `admin_epoch.epoch.num_updates`; a missing last part is 0.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("\"{text}\" is no version: expected three numbers like 0.12.3");
        let mut parts = text.split('.').map(str::parse::<u64>);
        let mut next = || parts.next().transpose().map_err(|_| bad());
        let (admin_epoch, epoch) = (next()?.ok_or_else(bad)?, next()?.ok_or_else(bad)?);
        let num_updates = next()?.unwrap_or(0);
        match parts.next() {
            None => Ok(Self { admin_epoch, epoch, num_updates }),
            Some(_) => Err(bad()),
        }
    }
}

/// A change of single objects of the configuration, each named by its id, or as `property`, `rsc_defaults`, `op_defaults`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "edit", deny_unknown_fields)]
pub enum ObjectEdit {
    /// Remove objects, with what would name nothing afterwards. Refused for a resource that runs, unless forced.
    Delete {
        /// The objects.
        objects: Vec<String>,
    },
    /// Give an object another id, wherever it is named. Refused for a resource that runs.
    Rename {
        /// Its id.
        from: String,
        /// Its new id.
        to: String,
    },
    /// Put a primitive into a group: beside the member named, else last.
    AddMember {
        /// The group.
        group: String,
        /// The primitive.
        member: String,
        /// Before this member.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// After this member.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Take a primitive out of a group; it stands by itself afterwards.
    RemoveMember {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// Set one value.
    Set {
        /// `OBJECT.NAME`, `OBJECT.params.NAME`, `OBJECT.op.OPERATION.NAME`, `property.NAME` …
        path: String,
        /// Its new value.
        value: String,
    },
    /// Name the schema that documents in XML say they are written for.
    Schema {
        /// `pacemaker-4.0` or a later one of that meaning.
        name: String,
    },
}

/// One object that differs between two configurations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ObjectChange {
    /// Its name.
    pub object: String,
    /// Its lines before, in the notation of the crm shell, comments included; none when it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its lines after; none when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One committed change of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommitRow {
    /// The version it made.
    pub version: Version,
    /// When, by the civil clock of the coordinator.
    pub at: WallTime,
    /// Who asked, by the credentials of the caller: `root`, or `alice as root` after `sudo`.
    pub author: String,
    /// The node whose daemon was asked.
    pub node: String,
    /// What it was for.
    pub message: String,
    /// Names of the objects that it added, changed or removed.
    pub changed: Vec<String>,
    /// Whether what it changed is still kept, so that it can be shown and taken back.
    pub kept: bool,
}

/// How bad a finding is. Only errors keep a configuration from being loaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It works, but not as somebody probably expects.
    Warning,
    /// It could be better.
    Advice,
}

impl Severity {
    /// The word that a report prints.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Advice => "advice",
        }
    }
}

/// One thing that is wrong, doubtful or improvable in a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code, `HV` and four digits.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// Line in the text that was handed in, from 1; none when it concerns the live configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in that line, counted in characters from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// Id of the object concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// One sentence: what was found, what was expected.
    pub message: String,
    /// The valid word nearest to the one found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.severity.word())?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, " line {line}:{column}")?,
            (Some(line), None) => write!(f, " line {line}")?,
            (None, _) => {}
        }
        if let Some(object) = &self.object {
            write!(f, " {object}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, " (did you mean \"{nearest}\"?)")?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, ". Fix: {remedy}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_their_most_significant_part() {
        let parse = |text: &str| text.parse::<Version>();
        assert!(parse("1.0.0") > parse("0.99.7"));
        assert_eq!(parse("0.12"), Ok(Version { admin_epoch: 0, epoch: 12, num_updates: 0 }));
        for bad in ["", "1", "a.b.c", "1.2.3.4", "1.-2.3", "99999999999999999999.1.1"] {
            assert!(parse(bad).is_err(), "{bad:?} was taken for a version");
        }
        let version = Version { admin_epoch: 1, epoch: 2, num_updates: 3 };
        assert_eq!(parse(&version.to_string()), Ok(version));
    }
}
