//! What a text leaves open because something in it cannot be read: what follows from that alone is no finding.

use std::collections::BTreeSet;

use haven_base::nearest;

use super::document::{Document, Object};
use super::finding::Finding;
use super::lex::Line;
use super::names::COMMANDS;
use crate::xml::Element;

/// Findings that something is missing: not told of objects that are not whole.
const BY_ABSENCE: &[&str] = &["HV0303", "HV0313", "HV0324"];
/// The finding that a time counts for lack of another one: not told where the defaults are not whole, either.
const BY_DEFAULT: &str = "HV0324";
/// Findings that something unknown is kept: not told where it is refused.
const KEPT: &str = "HV0402";
/// Commands whose lines say nothing of other objects.
const SAYS_NOTHING_OF_OTHERS: &[&str] = &[
    "node",
    "location",
    "colocation",
    "order",
    "rsc_ticket",
    "property",
    "op_defaults",
    "rsc_defaults",
    "fencing_topology",
    "tag",
    "alert",
    "role",
    "acl_target",
    "user",
];

/// What lines that cannot be read may have said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Doubt {
    /// Ids that they may have declared.
    declared: BTreeSet<String>,
    /// Names that they may have given to something else: blocks, guest nodes.
    given: BTreeSet<String>,
    /// Objects that are not whole.
    incomplete: BTreeSet<String>,
    /// Objects of whose words nothing is certain.
    garbled: BTreeSet<String>,
    /// Objects of which something unknown is refused already.
    refused: BTreeSet<String>,
    /// Resources that are not there and only stand in for what a container names.
    absent: BTreeSet<String>,
    /// Defaults of resources or operations are not whole.
    defaults: bool,
    /// The cluster's options are not whole.
    options: bool,
}

impl Doubt {
    /// Nothing of `line` could be read; `before` is the object declared in front of it.
    pub(super) fn unread(&mut self, line: &Line, before: Option<&str>) {
        let mut words = line.tokens.iter().map(|token| token.text.as_str());
        let Some(command) = words.next() else { return };
        let known = COMMANDS.contains(&command);
        let meant = if known { Some(command) } else { nearest(command, COMMANDS.iter().copied()) };
        self.defaults |= meant.is_some_and(|word| word.ends_with("_defaults"));
        self.options |= meant == Some("property");
        if meant.is_none() {
            // It may have been meant to go on with the line before.
            self.incomplete.extend(before.map(str::to_owned));
        }
        let words: Vec<&str> = words.collect();
        let number = |word: &&str| word.ends_with(':') || word.starts_with("$id=");
        let skipped = usize::from(meant == Some("node") && words.first().is_some_and(number));
        if let Some(id) = words.get(skipped) {
            self.may_declare(id);
        }
        if command == "xml" {
            let parts = words.iter().flat_map(|word| word.split("id=").skip(1));
            for part in parts {
                let id = part.get(1..).and_then(|rest| rest.split(['"', '\'']).next());
                self.declared.extend(id.map(str::to_owned));
            }
        }
        for name in words.iter().filter_map(|word| {
            word.strip_prefix("$id=").or_else(|| word.strip_prefix("remote-node="))
        }) {
            self.given.insert(name.to_owned());
        }
        if meant.is_none_or(|word| !SAYS_NOTHING_OF_OTHERS.contains(&word)) {
            // A container's options count for what it names, and a monitor for its resource.
            self.incomplete.extend(words.iter().map(|word| bare(word).to_owned()));
        }
    }

    /// A word that cannot be read for what it is may be the id of an object.
    pub(super) fn may_declare(&mut self, word: &str) {
        if !word.contains('=') {
            self.declared.insert(bare(word).to_owned());
        }
    }

    /// An element is left out because no schema knows its name: what is in it, and it itself, may have been meant to be
    /// objects that others name, or options.
    pub(super) fn left_out(&mut self, element: &Element) {
        const OPTIONS: [&str; 2] = ["crm_config", "cluster_property_set"];
        let name = element.name.as_str();
        self.defaults |= nearest(name, ["rsc_defaults", "op_defaults"]).is_some();
        self.options |= nearest(name, OPTIONS).is_some();
        let named = ["id", "uname"].into_iter().filter_map(|word| element.attr(word));
        self.declared.extend(named.map(str::to_owned));
        if element.attr("name") == Some("remote-node") {
            self.given.extend(element.attr("value").map(str::to_owned));
        }
        element.children.iter().for_each(|child| self.left_out(child));
    }

    /// Not everything of an object could be read.
    pub(super) fn partly(&mut self, object: &Object) {
        self.defaults |= matches!(object, Object::RscDefaults(_) | Object::OpDefaults(_));
        self.options |= matches!(object, Object::Property(_));
        self.distrust(object.id());
    }

    /// Something of the object of this id or name is missing.
    pub(super) fn distrust(&mut self, object: &str) {
        self.incomplete.insert(object.to_owned());
    }

    /// Where the words of `line`, which declares `objects`, end is not certain.
    pub(super) fn garbled(&mut self, line: &Line, objects: &[&Object]) {
        let words = line.tokens.iter().flat_map(|token| token.text.split_whitespace());
        self.given.extend(words.map(|word| bare(word).to_owned()));
        for object in objects {
            self.partly(object);
            self.garbled.extend([object.id().to_owned(), object.name().to_owned()]);
        }
    }

    /// Something unknown with an object is refused.
    pub(super) fn refuses(&mut self, finding: &Finding) {
        if finding.code == Finding::UNKNOWN {
            self.refuse(finding.object.as_deref().unwrap_or_default());
        }
    }

    /// Something unknown with the object of this name is refused.
    pub(super) fn refuse(&mut self, object: &str) {
        self.refused.insert(object.to_owned());
    }

    /// A container names a resource that is not there.
    pub(super) fn stands_in(&mut self, id: &str) {
        self.absent.insert(id.to_owned());
        self.distrust(id);
    }

    /// Marks what is not whole because what it takes its values from is not.
    pub(super) fn spread(&mut self, document: &Document) {
        // A group in a clone has its members' members, as deep as containers go.
        for _ in 0..2 {
            let mut more: Vec<String> = Vec::new();
            for entry in &document.entries {
                let id = entry.object.id();
                let inside: &[String] = match &entry.object {
                    Object::Group { members, .. } => members,
                    Object::Clone { child, .. } | Object::Bundle { child: Some(child), .. } => {
                        std::slice::from_ref(child)
                    }
                    Object::Primitive(primitive) => {
                        let template = primitive.template.as_deref();
                        if template.is_some_and(|it| self.is_incomplete(it) || self.may_be(it)) {
                            more.push(id.to_owned());
                        }
                        continue;
                    }
                    Object::Node(_)
                    | Object::Template(_)
                    | Object::Bundle { child: None, .. }
                    | Object::Constraint(_)
                    | Object::Tag(_)
                    | Object::Topology(_)
                    | Object::Property(_)
                    | Object::RscDefaults(_)
                    | Object::OpDefaults(_)
                    | Object::Alert(_)
                    | Object::Acl(_) => continue,
                };
                if self.is_incomplete(id) {
                    more.extend(inside.iter().cloned());
                }
            }
            self.incomplete.extend(more);
        }
    }

    /// Takes out of `document` what was there before and may be declared anew by a line that cannot be read.
    pub(super) fn forget(&self, document: &mut Document) {
        document.entries.retain(|entry| {
            entry.line.is_some()
                || matches!(entry.object, Object::Node(_))
                || !self.declared.contains(entry.object.id())
        });
    }

    /// A line that cannot be read may have declared or named this.
    pub(super) fn may_be(&self, name: &str) -> bool {
        self.declared.contains(name) || self.given.contains(name)
    }

    /// Whether a container that lacks a member is not to blame: the member may be declared where nothing can be read,
    /// or its own line cannot be read, or what was read as a member is a slip of the word that was told already.
    pub(super) fn excuses(&self, container: &str, member: &str) -> bool {
        self.may_be(member)
            || self.is_garbled(container)
            || (self.is_incomplete(container) && nearest(member, ["meta", "params"]).is_some())
    }

    /// Names that may have been declared.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.iter().chain(&self.given).map(String::as_str)
    }

    /// Resources that only stand in.
    pub(super) fn absent(&self) -> impl Iterator<Item = &str> {
        self.absent.iter().map(String::as_str)
    }

    /// Not everything that was said of this object is known.
    pub(super) fn is_incomplete(&self, object: &str) -> bool {
        self.incomplete.contains(object)
    }

    /// Whether an option of this resource may stand where it cannot be read.
    pub(super) fn hides_options_of(&self, resource: &str) -> bool {
        self.defaults || self.is_incomplete(resource)
    }

    /// Whether the cluster's options are not whole.
    pub(super) const fn lacks_options(&self) -> bool {
        self.options
    }

    /// Whether nothing is certain of the object's words.
    pub(super) fn is_garbled(&self, object: &str) -> bool {
        self.garbled.contains(object)
    }

    /// Whether a finding of judging may follow from what cannot be read, alone.
    pub(super) fn explains(&self, finding: &Finding) -> bool {
        let object = finding.object.as_deref().unwrap_or_default();
        self.is_garbled(object)
            || (BY_ABSENCE.contains(&finding.code.as_str()) && self.is_incomplete(object))
            || (finding.code == BY_DEFAULT && self.defaults)
            || (finding.code == KEPT
                && (self.refused.contains(object)
                    || (object.is_empty() && self.refused.contains("cib"))))
    }
}

/// A word without what notation hangs on an id: `vip:Promoted`, `tag:`.
fn bare(word: &str) -> &str {
    word.split(':').next().unwrap_or(word)
}
