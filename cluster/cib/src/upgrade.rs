//! Documents of old schemas, brought to the present meaning before they are read.
//!
//! Each step knows the schemas before it by `validate-with`. A document that names no schema, or `none`, is taken for
//! a new one; only options that merely have a new name are renamed in every document.

mod access;
mod before_four;
mod before_three;
mod dropped;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::crm::RENAMED_PROPERTIES;
use crate::xml::Markup;

/// Brings a `<cib>` element to the newest meaning, in place.
pub(crate) fn upgrade(root: &mut Markup<'_>) {
    let schema = root.attr("validate-with").and_then(schema);
    let Some(configuration) = root.children.iter_mut().find(|c| c.name == "configuration") else {
        return;
    };
    if schema.is_some_and(|s| s < (2, 0)) {
        access::upgrade(configuration);
    }
    if schema.is_some_and(|s| s < (3, 0)) {
        before_three::upgrade(configuration);
    }
    if schema.is_some_and(|s| s < (4, 0)) {
        before_four::upgrade(configuration);
        dropped::drop_unsupported(configuration);
    }
    for section in &mut configuration.children {
        if section.name == "crm_config" {
            options(section);
        }
    }
}

/// The two numbers of a schema's name; before them there was a name without any.
fn schema(name: &str) -> Option<(u32, u32)> {
    if name.starts_with("pacemaker-0.") || name.starts_with("transitional-0.") {
        return Some((0, 6));
    }
    let (major, minor) = name.strip_prefix("pacemaker-")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Renames old options unless the new name is there, too.
fn options(section: &mut Markup<'_>) {
    for set in section.children.iter_mut() {
        for &(old, new) in RENAMED_PROPERTIES {
            if set.children.iter().any(|p| p.attr("name") == Some(new)) {
                continue;
            }
            for pair in set.children.iter_mut().filter(|p| p.attr("name") == Some(old)) {
                pair.replace("name", new);
            }
        }
    }
}

/// An element with these attributes.
fn element<'a>(name: &'a str, attributes: Vec<(&'a str, Cow<'a, str>)>) -> Markup<'a> {
    Markup { name, attributes, ..Markup::default() }
}

/// Goes to each element of these names, the outer ones first.
fn each<'a>(e: &mut Markup<'a>, names: &[&str], visit: &mut dyn FnMut(&mut Markup<'a>)) {
    for child in &mut e.children {
        if names.contains(&child.name) {
            visit(child);
        }
        each(child, names, visit);
    }
}

/// The section of this name; made if there is none.
fn section<'a, 'b>(configuration: &'b mut Markup<'a>, name: &'a str) -> &'b mut Markup<'a> {
    let at = configuration.children.iter().position(|c| c.name == name).unwrap_or_else(|| {
        configuration.children.push(element(name, Vec::new()));
        configuration.children.len() - 1
    });
    &mut configuration.children[at]
}
