//! Resources of kinds that nothing supports any more: they go, and with them what was said about them.

use std::collections::BTreeSet;

use super::each;
use crate::xml::Markup;

/// Takes out resources of the classes `nagios` and `upstart` and bundles of rkt containers.
pub(super) fn drop_unsupported(configuration: &mut Markup<'_>) {
    let mut found = false;
    each(configuration, &["primitive", "template", "bundle"], &mut |e| {
        found |= if e.name == "bundle" { e.child("rkt").is_some() } else { has_dropped_class(e) };
    });
    if !found {
        return;
    }
    let mut templates = BTreeSet::new();
    each(configuration, &["template"], &mut |t| {
        if has_dropped_class(t) {
            templates.extend(t.get("id"));
        }
    });
    let mut ids = BTreeSet::new();
    for section in &mut configuration.children {
        if section.name == "resources" {
            section.children.retain_mut(|r| stays(r, &templates, &mut ids));
        }
    }
    for section in &mut configuration.children {
        if section.name == "constraints" {
            section.children.retain_mut(|c| still_means_something(c, &ids));
        }
    }
}

fn has_dropped_class(p: &Markup<'_>) -> bool {
    let is = |class: &str| p.attr("class").is_some_and(|c| c.eq_ignore_ascii_case(class));
    is("nagios") || is("upstart")
}

/// Whether anything of a resource is left; notes the ids of what goes.
fn stays(r: &mut Markup<'_>, templates: &BTreeSet<String>, ids: &mut BTreeSet<String>) -> bool {
    let left = match r.name {
        "template" => return !has_dropped_class(r),
        "primitive" => {
            let made_of = r.attr("template").is_some_and(|t| templates.contains(t));
            !(made_of || has_dropped_class(r))
        }
        "bundle" => r.child("rkt").is_none(),
        "group" | "clone" | "master" => {
            let is_part = |c: &Markup<'_>| c.name == "primitive" || c.name == "group";
            r.children.retain_mut(|c| !is_part(c) || stays(c, templates, ids));
            r.children.iter().any(is_part)
        }
        _ => true,
    };
    if !left {
        ids.extend(r.get("id"));
    }
    left
}

/// Whether a constraint still names a resource on each side.
fn still_means_something(c: &mut Markup<'_>, gone: &BTreeSet<String>) -> bool {
    let names = ["rsc", "with-rsc", "first", "then"];
    if names.iter().any(|n| c.attr(n).is_some_and(|id| gone.contains(id))) {
        return false;
    }
    let sets = |c: &Markup<'_>| c.children.iter().filter(|s| s.name == "resource_set").count();
    let before = sets(c);
    for set in c.children.iter_mut().filter(|s| s.name == "resource_set") {
        set.children.retain(|r| !r.attr("id").is_some_and(|id| gone.contains(id)));
    }
    c.children.retain(|s| {
        s.name != "resource_set" || !s.children.is_empty() || s.attr("id-ref").is_some()
    });
    before == 0 || sets(c) > 0
}
