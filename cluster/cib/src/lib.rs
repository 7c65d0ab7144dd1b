//! The configuration: document model, schema, versions, crm lines.
//!
//! A [`Cib`] is read from XML once, at the door ([`Cib::from_xml`]), together with the status
//! section if there is one. References (`id-ref`) are resolved and documents of old schemas are
//! brought to the present meaning on the way in; behind the door there is only typed Rust.
//! [`Cib::to_xml`] writes the newest form.
//!
//! This crate never decides anything: what values mean is the business of `policy`.

pub mod crm;
mod edit;
mod model;
mod read;
mod status;
mod upgrade;
mod write;
pub mod xml;

use haven_types::status::Status;
pub use model::{
    AttributeTest, Bundle, Cib, CloneChild, CloneResource, Colocation, Condition, Constraint,
    DateTest, FencingLevel, Group, Location, Node, NvPair, NvSet, Operation, Order, Primitive,
    Resource, ResourceSet, Rule, Tag, TicketConstraint, Version,
};

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
    /// An element that has no place there.
    #[error(
        "cannot read the CIB at line {line}: <{element}> in <{inside}>, expected {expected}; \
             remove it or correct its name"
    )]
    UnknownElement {
        /// Line, from 1.
        line: u32,
        /// Its name.
        element: String,
        /// The element around it.
        inside: String,
        /// What may stand there.
        expected: &'static str,
    },
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

impl Cib {
    /// Reads a CIB document: the configuration, and the status section if it has one.
    ///
    /// # Errors
    /// [`CibError`] with the line and the remedy where the text is no CIB.
    pub fn from_xml(text: &str) -> Result<(Self, Status), CibError> {
        let mut root = xml::markup(text)?;
        if root.name != "cib" {
            return Err(CibError::NotACib { found: root.name.to_owned() });
        }
        upgrade::upgrade(&mut root);
        let cib = read::read_cib(&root, text.contains("id-ref"))?;
        Ok((cib, status::read_status(&root)))
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
