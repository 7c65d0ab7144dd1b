//! The configuration: document model, schema, versions, crm lines.
//!
//! A [`Cib`] is read from XML once, at the door ([`Cib::from_xml`]), together with the status
//! section if there is one. References (`id-ref`) are resolved and documents of old schemas are
//! brought to the present meaning on the way in; behind the door there is only typed Rust.
//! [`Cib::to_xml`] writes the newest form.
//!
//! This crate decides which resources run under a lease ([`leasings`]), for whoever judges, plans and grants must agree
//! about it. What all other values mean is the business of `policy`.

pub mod crm;
mod edit;
mod leases;
mod model;
mod read;
pub mod schema;
mod status;
mod unknown;
mod upgrade;
mod write;
pub mod xml;

use std::fmt::Write as _;

use haven_types::status::Status;
pub use leases::{Exposure, Leasing, Said, Source, leasing, leasings};
pub use model::{
    AttributeTest, Bundle, Cib, CloneChild, CloneResource, Colocation, Condition, Constraint,
    DateTest, FencingLevel, Group, Location, Node, NvPair, NvSet, Operation, Order, Primitive,
    Resource, ResourceSet, Rule, Tag, TicketConstraint, Version,
};

pub use unknown::{Found, Kept, Part, Step, Surplus};

/// Why a document was not accepted, or a change not made. Each can be mended by who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CibError {
    /// The text is no well-formed XML.
    #[error("cannot read the CIB at line {line}: {found}; check the file with `xmllint`")]
    Syntax {
        /// Line, from 1.
        line: u32,
        /// What was found there.
        found: String,
    },
    /// The outermost element is not a CIB.
    #[error(
        "cannot read the CIB: the outermost element is <{found}>, expected <cib>; give the \
             output of `cibadmin --query`"
    )]
    NotACib {
        /// Its name.
        found: String,
    },
    /// Things that no schema knows, in the order of the document; there is at least one.
    #[error("{}", in_lines(.0))]
    Unknown(Vec<Surplus>),
    /// An attribute that must be there is not.
    #[error(
        "cannot read the CIB at line {line}: <{element}> has no attribute `{attribute}`; \
             add it"
    )]
    Missing {
        /// Line, from 1.
        line: u32,
        /// The element.
        element: String,
        /// The attribute.
        attribute: &'static str,
    },
    /// An element without its content.
    #[error("cannot read the CIB at line {line}: <{element}> is empty, expected {expected} in it")]
    Empty {
        /// Line, from 1.
        line: u32,
        /// The element.
        element: String,
        /// What must be in it.
        expected: &'static str,
    },
    /// An `id-ref` that names nothing.
    #[error(
        "cannot read the CIB at line {line}: no <{element}> has the id `{id}` that is \
             referred to; add it or correct the reference"
    )]
    DanglingReference {
        /// Line, from 1.
        line: u32,
        /// The element.
        element: String,
        /// The id looked for.
        id: String,
    },
    /// A change of something that is not there.
    #[error(
        "cannot change {kind} `{id}`: there is none of that name; list them with `haven status`"
    )]
    NoSuchObject {
        /// `resource`, `constraint` or `node`.
        kind: &'static str,
        /// Its id or name.
        id: String,
    },
}

/// A yes or no, in whichever word; none for any other word.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "on", "yes", "y", "1"]) {
        Some(true)
    } else if is(["false", "off", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Everything unknown, a line each.
fn in_lines(unknown: &[Surplus]) -> String {
    let mut text = String::from("cannot read the CIB:");
    for one in unknown {
        let _ = write!(
            text,
            "{}line {}: {one}",
            if unknown.len() == 1 { " " } else { "\n  " },
            one.line
        );
        if let Some(nearest) = one.nearest {
            let _ = write!(text, " (did you mean \"{nearest}\"?)");
        }
        let _ = write!(text, "; {}", one.remedy());
    }
    text
}

impl Cib {
    /// Reads a CIB document: the configuration, and the status section if it has one.
    ///
    /// # Errors
    /// [`CibError`] with the line and the remedy where the text is no CIB, or has anything in it that no schema of
    /// Pacemaker knows: all of that at once.
    pub fn from_xml(text: &str) -> Result<(Self, Status), CibError> {
        match Self::from_xml_lenient(text)? {
            (cib, status, unknown) if unknown.is_empty() => Ok((cib, status)),
            (_, _, unknown) => Err(CibError::Unknown(unknown)),
        }
    }

    /// The same, where what no schema knows is kept in the configuration, and told.
    ///
    /// # Errors
    /// [`CibError`] with the line and the remedy where the text is no CIB.
    pub fn from_xml_lenient(text: &str) -> Result<(Self, Status, Vec<Surplus>), CibError> {
        let mut root = xml::markup(text)?;
        if root.name != "cib" {
            return Err(CibError::NotACib { found: root.name.to_owned() });
        }
        let unknown = unknown::take_out(&mut root);
        upgrade::upgrade(&mut root);
        let read = read::read_cib(&root, text.contains("id-ref"));
        // An element that lacks something may have it under an unknown name: that is said first.
        let mut cib = match read {
            Err(_) if !unknown.found.is_empty() => return Err(CibError::Unknown(unknown.found)),
            read => read?,
        };
        cib.unknown = unknown.kept;
        Ok((cib, status::read_status(&root), unknown.found))
    }

    /// Reads a document as Pacemaker's tools take a file: what no schema knows is refused where the document names a
    /// schema (`validate-with`), and kept where it names none, or `none`.
    ///
    /// # Errors
    /// As those of [`Cib::from_xml`].
    pub fn from_xml_as_named(text: &str) -> Result<(Self, Status), CibError> {
        match Self::from_xml_lenient(text)? {
            (cib, status, unknown) if unknown.is_empty() => Ok((cib, status)),
            (cib, status, _) if matches!(cib.validate_with.as_deref(), None | Some("none")) => {
                Ok((cib, status))
            }
            (_, _, unknown) => Err(CibError::Unknown(unknown)),
        }
    }

    /// The configuration as a document of the newest schema, without status.
    #[must_use]
    pub fn to_xml(&self) -> String {
        write::write_cib(self).to_text()
    }

    /// Configuration and status as one document.
    #[must_use]
    pub fn to_xml_with(&self, status: &Status) -> String {
        let mut root = write::write_cib(self);
        if let Some(q) = status.quorate {
            root.push("have-quorum", if q { "1" } else { "0" });
        }
        if status.quorum_lost {
            root.push("no-quorum-panic", "1");
        }
        root.push_opt("dc-uuid", status.dc.as_ref());
        root.push_opt("execution-date", status.recorded_at.map(|t| t.to_string()).as_ref());
        root.children.push(status::write_status(status));
        root.to_text()
    }
}

#[cfg(test)]
mod tests;
