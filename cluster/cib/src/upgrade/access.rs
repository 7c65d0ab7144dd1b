//! From schemas 1.x: access lists named users and what each may do; from 2.0 on, targets have roles and roles permissions.

use std::borrow::Cow;

use super::element;
use crate::xml::Markup;

pub(super) fn upgrade(configuration: &mut Markup<'_>) {
    for section in configuration.children.iter_mut().filter(|c| c.name == "acls") {
        let old = std::mem::take(&mut section.children);
        section.children = old.into_iter().flat_map(list).collect();
    }
}

/// A user becomes a target; what it may do itself becomes a role of its own.
fn list(mut e: Markup<'_>) -> Vec<Markup<'_>> {
    if e.name == "acl_role" {
        e.children = e.children.into_iter().map(permission).collect();
        return vec![e];
    }
    if e.name != "acl_user" {
        return vec![e];
    }
    let (mut rights, mut rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut e.children).into_iter().partition(is_right);
    let has_roles = rest.iter().any(|c| c.name == "role_ref");
    rest.iter_mut().filter(|c| c.name == "role_ref").for_each(|c| c.name = "role");
    e.name = "acl_target";
    e.children = rest;
    // The old schemas allow roles or rights, not both.
    if has_roles || rights.is_empty() {
        return vec![e];
    }
    let id = format!("auto-{}", e.attr("id").unwrap_or_default());
    e.children.push(element("role", vec![("id", Cow::Owned(id.clone()))]));
    let mut role = element("acl_role", vec![("id", Cow::Owned(id))]);
    role.line = e.line;
    role.children = rights.drain(..).map(permission).collect();
    vec![e, role]
}

fn is_right(e: &Markup<'_>) -> bool {
    matches!(e.name, "read" | "write" | "deny")
}

/// `read`, `write` or `deny` becomes a permission of that kind. An attribute beside a reference has no effect any more,
/// beside a path it stands for the elements that have it.
fn permission(mut e: Markup<'_>) -> Markup<'_> {
    if !is_right(&e) {
        return e;
    }
    let mut made = element("acl_permission", Vec::new());
    made.line = e.line;
    let mut give = |name, value: Option<_>| made.attributes.extend(value.map(|v| (name, v)));
    give("id", e.take("id"));
    give("kind", Some(Cow::Borrowed(e.name)));
    let attribute = e.take("attribute");
    if let Some(id) = e.take("ref") {
        give("reference", Some(id));
    } else if let Some(tag) = e.take("tag") {
        give("object-type", Some(tag));
        give("attribute", attribute);
    } else if let Some(path) = e.take("xpath") {
        give(
            "xpath",
            Some(match attribute {
                Some(name) => Cow::Owned(format!("{path}[@{name}]")),
                None => path,
            }),
        );
    }
    made
}
