//! What the daemon, and the commands with it, answer when something could not be done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Finding;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal,)+) => {
        /// Why a request failed. The number is the exit code of the command that asked.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The exit code of a command that fails for this reason.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The reason in a few words, as the manual lists it.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

codes! {
    /// It was tried, and the cluster reports that it did not work (a start failed, for example).
    Failed = 1 "the operation was carried out and failed",
    /// The command line or the request makes no sense.
    Usage = 64 "wrong usage",
    /// A file or a text that was handed in cannot be read as what it should be.
    BadData = 65 "malformed input",
    /// The daemon does not run, or cannot do this now.
    Unavailable = 69 "the service is not available",
    /// A broken assumption inside haven.
    Internal = 70 "internal error",
    /// The caller may not do this.
    NoPermission = 77 "permission denied",
    /// The configuration, once read, contradicts itself or what is installed.
    Configuration = 78 "configuration error",
    /// The connection ended before the answer came.
    Disconnected = 102 "disconnected before the answer",
    /// Somebody else committed first: the expected version is no longer current.
    StaleWrite = 103 "the configuration changed meanwhile",
    /// No node, resource or address of that name.
    NoSuchObject = 105 "no such object",
    /// This node's partition has no quorum, so nothing can be committed.
    NoQuorum = 106 "no quorum",
    /// Refused because it would endanger a running service; `--force` overrides.
    Unsafe = 107 "unsafe without --force",
    /// It may or may not have happened: look before trying again.
    Indeterminate = 112 "the outcome is unknown",
    /// No coordinator is elected at the moment.
    NoCoordinator = 114 "no coordinator",
    /// The cluster did not get there in time.
    Timeout = 124 "timed out",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.meaning(), self.exit_code())
    }
}

/// A failed request: what was attempted on what, what was found, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiError {
    /// The kind of failure, which is also the exit code.
    pub code: Code,
    /// One sentence: attempted action, object, what was found.
    pub message: String,
    /// What the reader can do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Everything that is wrong with a configuration, all of it at once; empty for other failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl ApiError {
    /// An error without a remedy.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: None, findings: Vec::new() }
    }

    /// The same error with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same error with the list of what is wrong.
    #[must_use]
    pub fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_ordered() {
        let numbers: Vec<u8> = Code::ALL.iter().map(|code| code.exit_code()).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(numbers, sorted);
        assert!(!numbers.contains(&0), "0 means success");
    }

    #[test]
    fn an_error_reads_as_one_sentence_with_its_remedy() {
        let error = ApiError::new(Code::NoSuchObject, "cannot stop \"webb\": no such resource")
            .remedy("did you mean \"web\"?");
        assert_eq!(
            error.to_string(),
            "cannot stop \"webb\": no such resource; did you mean \"web\"?"
        );
    }
}
