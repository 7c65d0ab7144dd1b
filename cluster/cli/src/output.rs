//! Where results, progress and errors go.

use std::io::{self, IsTerminal, Write};

use haven_api::{ApiError, Code, Notice, VERSION};
use serde::Serialize;

use crate::render;

/// How a command talks to its caller.
pub(crate) struct Output<'a> {
    json: bool,
    width: usize,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    last_progress: String,
}

/// A document with the version of its schema.
#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Serialize)]
struct Failure<'a> {
    version: u32,
    error: &'a ApiError,
    exit_code: u8,
}

impl<'a> Output<'a> {
    pub(crate) fn new(json: bool, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { json, width: terminal_width(), out, err, last_progress: String::new() }
    }

    /// Whether the caller wants JSON.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Prints a result: `document` as JSON, or else what `text` makes of it for the terminal's width.
    pub(crate) fn result<T: Serialize>(
        &mut self,
        document: &T,
        text: impl FnOnce(usize) -> String,
    ) -> Result<(), ApiError> {
        let mut text = if self.json {
            let document = Versioned { version: VERSION, content: document };
            serde_json::to_string_pretty(&document).map_err(|error| {
                ApiError::new(Code::Internal, format!("cannot print the result as JSON: {error}"))
            })?
        } else {
            text(self.width)
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.raw(&text)
    }

    /// Prints one document of a stream as JSON on one line.
    pub(crate) fn json_line<T: Serialize>(&mut self, document: &T) -> Result<(), ApiError> {
        let document = Versioned { version: VERSION, content: document };
        let line = serde_json::to_string(&document).map_err(|error| {
            ApiError::new(Code::Internal, format!("cannot print the event as JSON: {error}"))
        })?;
        self.raw(&format!("{line}\n"))
    }

    /// Draws the next picture of a watch, on a cleared screen where there is one.
    pub(crate) fn draw(&mut self, text: impl FnOnce(usize) -> String) -> Result<(), ApiError> {
        let clear = if io::stdout().is_terminal() { "\u{1b}[H\u{1b}[2J" } else { "" };
        let text = text(self.width);
        self.raw(&format!("{clear}{text}"))
    }

    /// Prints text as it is.
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), ApiError> {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        match written {
            // Who reads has seen enough, as in `haven status | head -1`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| {
                ApiError::new(Code::Failed, format!("cannot write to standard output: {error}"))
            }),
        }
    }

    /// Tells a person who waits what the wait is for; says nothing twice in a row.
    pub(crate) fn progress(&mut self, notice: &Notice) {
        if self.json || notice.text == self.last_progress {
            return;
        }
        self.last_progress.clone_from(&notice.text);
        self.note(&format!("… {} ({})", notice.text, crate::duration::age(notice.elapsed_ms)));
    }

    /// A line beside the result.
    pub(crate) fn note(&mut self, text: &str) {
        // Nobody is left to tell when standard error is gone.
        drop(writeln!(self.err, "{text}"));
    }

    /// Prints an error where the caller looks for it, and returns its exit code.
    pub(crate) fn failure(&mut self, error: &ApiError) -> u8 {
        let exit_code = error.code.exit_code();
        if self.json {
            let failure = Failure { version: VERSION, error, exit_code };
            let text = serde_json::to_string_pretty(&failure).unwrap_or_else(|e| e.to_string());
            drop(self.raw(&format!("{text}\n")));
        } else {
            drop(write!(self.err, "{}", render::error(error)));
        }
        exit_code
    }
}

/// Columns of the terminal; 100 when standard output is none or does not say.
fn terminal_width() -> usize {
    const ELSEWHERE: usize = 100;
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.filter(|columns| (20..=1000).contains(columns)).unwrap_or(ELSEWHERE)
}
