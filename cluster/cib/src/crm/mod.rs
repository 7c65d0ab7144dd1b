//! Lines of the crm shell: the configuration as people write it.
//!
//! ```text
//! text ──lex──▶ logical lines ──parse──▶ Document ──merge──▶ Document ──compose──▶ Cib ──▶ verify
//!                                          ▲ flat list of objects with comments and line numbers
//! text ◀──print───────────────────────── Document ◀──decompose── Cib
//! ```
//!
//! A [`Document`] is the configuration as a flat list of [`Object`]s in the order written: members of a
//! group or clone stand by themselves and are named by their container. [`load()`] is a transaction: it
//! reports every error with line, column, object, what was found and what to do, and with any error the
//! configuration stays as it was. No stage waits for the one before to be without errors: each hands on what it could
//! make, and what only follows from an earlier error is not told. [`attempt()`] has what judging finds, too.
//!
//! # Notation
//! A logical line declares one object. It goes on after a backslash at the end of a line. A line that
//! starts with `#` is a comment and belongs to the object after it. Words are separated by blanks;
//! `"…"` and `'…'` keep blanks together, and in `"…"` a backslash quotes the next character. What has no
//! notation of its own is written as `xml '<element …/>'`.

mod amend;
mod attempt;
mod changes;
mod compose;
mod document;
mod doubt;
mod finding;
mod lex;
mod load;
mod merge;
mod names;
mod parse;
mod print;
mod references;
mod verify;
pub mod vocabulary;

pub use amend::{Beside, add_member, delete, remove_member, rename, set_value, with_schema};
pub use attempt::{Attempt, Loaded};
pub use changes::{ObjectChange, RevertError, changes, joined, revert};
pub use document::{CloneShell, Document, Entry, Object};
pub use finding::{Finding, Severity};
pub use load::{
    Mode, Unknowns, agents_in, attempt, attempt_document, attempt_rest, load, load_document,
    load_with, objects, resources, show, show_some,
};
pub(crate) use names::RENAMED_PROPERTIES;
pub use verify::{
    AgentFacts, Facts, Judge, MAX_LEASES, MemberFacts, ParamFacts, verify, verify_foreign,
};

#[cfg(test)]
mod tests;
