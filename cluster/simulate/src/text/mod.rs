//! The printed report, in the shape of `crm_simulate`'s.

mod nodes;
mod resources;

use std::io::{self, Write};

use haven_policy::ClusterState;

use crate::execute::Line;

/// What of a cluster's state is shown besides nodes and resources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sections {
    /// Operations under way.
    pub(crate) pending: bool,
    /// Node attributes.
    pub(crate) attributes: bool,
    /// Fail counts and failed operations.
    pub(crate) failures: bool,
}

/// Writes headings, indented items and remarks.
pub(crate) struct Text<'a> {
    out: &'a mut dyn Write,
    /// Items are indented and headings written; without it only the items are.
    fancy: bool,
    depth: usize,
    failure: Option<io::Error>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, fancy: bool) -> Self {
        Self { out, fancy, depth: 0, failure: None }
    }

    fn put(&mut self, line: &str) {
        if self.failure.is_none() {
            self.failure = writeln!(self.out, "{line}").err();
        }
    }

    fn indented(&mut self, text: &str) {
        let line = if self.fancy && self.depth > 0 {
            format!("{}* {text}", "  ".repeat(self.depth))
        } else {
            text.to_owned()
        };
        self.put(&line);
    }

    /// Begins a list.
    pub(crate) fn open(&mut self, heading: &str) {
        if self.fancy {
            self.indented(&format!("{heading}:"));
        }
        self.depth += 1;
    }

    /// Ends a list.
    pub(crate) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// One entry of a list.
    pub(crate) fn item(&mut self, text: &str) {
        self.indented(text);
    }

    /// A line that belongs to no list.
    pub(crate) fn remark(&mut self, text: &str) {
        self.put(text);
    }

    /// An empty line.
    pub(crate) fn space(&mut self) {
        self.put("");
    }

    /// Items and remarks as they happened.
    pub(crate) fn lines(&mut self, lines: &[Line]) {
        for line in lines {
            match line {
                Line::Item(text) => self.item(text),
                Line::Remark(text) => self.remark(text),
            }
        }
    }

    /// What went wrong while writing, if anything did.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    /// The state of a cluster.
    pub(crate) fn state(&mut self, title: &str, state: &ClusterState, show: Sections) {
        self.open(title);
        self.nodes(state);
        self.resources(state, show.pending);
        if show.attributes {
            self.attributes(state);
        }
        if show.failures {
            self.fail_counts(state);
            self.failures(state);
        }
        self.close();
    }
}
