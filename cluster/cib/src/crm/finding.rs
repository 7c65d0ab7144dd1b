//! What is wrong, doubtful or improvable in a configuration.

use std::fmt;

use super::document::named;
use crate::unknown::Surplus;
use serde::{Deserialize, Serialize};

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

/// One finding. Its JSON form is that of the control API's `Finding`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code, `HV` and four digits; docs/operating/messages.md explains each.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// Line in the text that was handed in, from 1.
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
    /// An error that an operator may override (`--force`): unsafe or doubtful, not contradictory.
    #[serde(default, skip_serializing)]
    pub overridable: bool,
}

impl Finding {
    /// Code of what no schema knows.
    pub(super) const UNKNOWN: &'static str = "HV0401";

    /// What a schema does not know, as an error.
    #[must_use]
    pub fn unknown(surplus: &Surplus) -> Self {
        let mut finding = Self::error(Self::UNKNOWN, surplus.to_string()).near(surplus.nearest);
        finding.object = surplus.object.as_deref().map(|id| named(id).to_owned());
        finding.line = Some(surplus.line);
        finding.fix(surplus.remedy())
    }

    pub(super) fn new(code: &str, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            severity,
            line: None,
            column: None,
            object: None,
            message: message.into(),
            nearest: None,
            remedy: None,
            overridable: false,
        }
    }

    pub(super) fn error(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    pub(super) fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    pub(super) fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    pub(super) fn about(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    pub(super) fn near(mut self, nearest: Option<&str>) -> Self {
        self.nearest = nearest.map(str::to_owned);
        self
    }

    pub(super) fn fix(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(super) const fn overridable(mut self) -> Self {
        self.overridable = true;
        self
    }

    /// True when it keeps the configuration from being loaded.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, " line {line}:{column}")?;
        }
        if let Some(object) = &self.object {
            write!(f, " {object}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, " (did you mean \"{nearest}\"?)")?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}
