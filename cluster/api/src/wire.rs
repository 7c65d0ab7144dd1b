//! One JSON document per line.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ApiError, ReplyBody, RequestBody};

/// The version of requests and replies that this build speaks.
pub const VERSION: u32 = 1;

/// Longest line in bytes, newline included, that either side accepts. A configuration travels as one
/// string, so the bound is that of a large configuration.
pub const MAX_LINE: usize = 32 * 1024 * 1024;

/// A request line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// Chosen by the client, echoed in each reply.
    pub id: u64,
    /// What is asked.
    pub body: RequestBody,
}

impl Request {
    /// A request of this build's version.
    #[must_use]
    pub const fn new(id: u64, body: RequestBody) -> Self {
        Self { version: VERSION, id, body }
    }
}

/// A reply line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Id of the request answered; 0 when the request could not be read.
    pub id: u64,
    /// More replies to the same request follow.
    #[serde(default)]
    pub more: bool,
    /// The answer.
    #[serde(with = "Outcome")]
    pub body: Result<ReplyBody, ApiError>,
}

impl Reply {
    /// The last or only answer to request `id`.
    #[must_use]
    pub const fn last(id: u64, body: Result<ReplyBody, ApiError>) -> Self {
        Self { id, more: false, body }
    }

    /// An answer to request `id` that others follow.
    #[must_use]
    pub const fn more(id: u64, body: ReplyBody) -> Self {
        Self { id, more: true, body: Ok(body) }
    }
}

/// How a `Result` looks in JSON: `{"ok": …}` or `{"error": …}`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Result")]
enum Outcome<T, E> {
    #[serde(rename = "ok")]
    Ok(T),
    #[serde(rename = "error")]
    Err(E),
}

/// Why a line is not what it should be. The text says where in the line.
#[derive(Debug, thiserror::Error)]
pub enum DecodeLineError {
    /// Longer than [`MAX_LINE`].
    #[error("a line of {length} bytes exceeds the limit of {MAX_LINE} bytes")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Not JSON, or not the expected document.
    #[error("not a valid document of API version {VERSION}")]
    Malformed(#[source] serde_json::Error),
}

/// The document as one line, newline included.
///
/// # Panics
/// Never for the types of this crate: their map keys are strings.
pub fn encode_line<T: Serialize>(document: &T) -> Vec<u8> {
    let encoded = serde_json::to_vec(document);
    assert!(encoded.is_ok(), "documents of the API have string keys only");
    let mut line = encoded.unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads one line; a trailing newline is allowed.
///
/// # Errors
/// When the line is too long or not the expected document.
pub fn decode_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, DecodeLineError> {
    if line.len() > MAX_LINE {
        return Err(DecodeLineError::TooLong { length: line.len() });
    }
    serde_json::from_slice(line).map_err(DecodeLineError::Malformed)
}
