//! What can be wrong with a resource's parameters. All findings are reported at once.

use std::fmt;

use haven_base::nearest;
use serde::{Deserialize, Serialize};

use super::table::PARAMETERS;

/// One wrong parameter, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum ParamError {
    /// A required parameter was left out.
    #[error("parameter {name} is missing: {remedy}")]
    Missing {
        /// Its name.
        name: String,
        /// What to write.
        remedy: String,
    },
    /// No such parameter.
    #[error("unknown parameter {name}{}", suggestion(nearest.as_deref()))]
    Unknown {
        /// The name found.
        name: String,
        /// The known name that looks most like it.
        nearest: Option<String>,
    },
    /// A value that does not parse or lies out of range.
    #[error("parameter {name}={value}: {expected}")]
    BadValue {
        /// Parameter.
        name: String,
        /// The value found.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// Two parameters that cannot both hold.
    #[error("parameters {first} and {second} contradict each other: {remedy}")]
    Contradiction {
        /// One parameter.
        first: String,
        /// The other.
        second: String,
        /// How to resolve it.
        remedy: String,
    },
    /// A parameter this agent knows and refuses.
    #[error("parameter {name} is refused: {remedy}")]
    Refused {
        /// Parameter.
        name: String,
        /// Why, and what to do instead.
        remedy: String,
    },
}

impl ParamError {
    /// The parameter concerned; of a contradiction the first.
    #[must_use]
    pub fn parameter(&self) -> &str {
        match self {
            Self::Missing { name, .. }
            | Self::Unknown { name, .. }
            | Self::BadValue { name, .. }
            | Self::Refused { name, .. }
            | Self::Contradiction { first: name, .. } => name,
        }
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `haven agent ip meta-data` lists the known ones".to_owned(),
        |n| format!("; did you mean {n}?"),
    )
}

/// Every finding of one set of parameters, in the order of their names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParamErrors(pub Vec<ParamError>);

impl fmt::Display for ParamErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParamErrors {}

/// The known parameter that was meant, if one is near.
pub(super) fn meant(name: &str) -> Option<String> {
    let known = PARAMETERS.iter().flat_map(|p| [Some(p.name), p.alias]).flatten();
    nearest(name, known).map(str::to_owned)
}
