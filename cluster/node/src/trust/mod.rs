//! Trust: how a cluster begins, how a node becomes a member, and what makes it one.
//!
//! - [`initialise`] makes the first node: cluster id, certificate authority, cluster key, certificate.
//! - [`JoinToken`] is what an operator carries to a new node: single use, 24 hours, pins the authority.
//! - [`join()`] is the new node's side, [`JoinServer`] the member's; [`Admission`] asks the cluster.
//! - [`Identity`] is what a member keeps in `<state>/identity`, mode 0600.
//! - [`Rotation`] changes the cluster key while running; [`KeyMessage`] carries it between members.
//!
//! ```text
//!  new node                                   member                       cluster
//!    │── TLS: is its authority the token's? ──▶│                              │
//!    │── name, addresses, public key, proof, the token's secret ──▶│          │
//!    │                                         │── token unused? name free? ──▶│ committed
//!    │◀── number, certificate, cluster key, members ──│◀───────────────────────│
//! ```
//! The secret leaves the new node only after the member proved to belong to the cluster; a key leaves the
//! member only after the cluster committed the new node. The connection's own keys are mixed into the
//! proof of the private key, so nothing can be relayed.
//!
//! **The authority's key** is on every full member, so that each can admit others when the first node is
//! gone; a witness does not get it and sends joining nodes to a full member.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod admission;
mod authority;
mod identity;
mod join;
mod keys;
mod message;
mod server;
#[cfg(test)]
mod tests;
mod token;

pub use admission::{Admission, AdmissionRequest, Admitted, Refused};
pub use authority::AuthorityError;
pub use identity::{
    Cluster, Identity, IdentityError, InitError, check_name, initialise, refuse_existing,
};
pub use join::{Candidate, JoinError, join};
pub use keys::{KeyInput, KeyMessage, KeyOutput, KeyStage, Rotation};
pub use message::{Contact, DecodeError, JoinRequest, Role};
pub use server::JoinServer;
pub use token::{JoinToken, LIFETIME, TokenError, TokenRecord};
