//! Members of a group.

use haven_base::nearest;

use super::{finished, place_of};
use crate::crm::document::{Document, Object};
use crate::crm::finding::Finding;
use crate::model::Cib;

/// Beside which member a new one is put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Beside {
    /// Before the member of this id: it starts earlier.
    Before(String),
    /// After it.
    After(String),
}

/// The configuration in which `group` has the primitive `member`, too: beside the member named, else last.
///
/// # Errors
/// A finding where one of the names is no such thing, or `member` is a member of a group, clone or bundle already.
pub fn add_member(
    cib: &Cib,
    group: &str,
    member: &str,
    beside: Option<&Beside>,
) -> Result<Cib, Vec<Finding>> {
    let mut document = Document::from_cib(cib);
    place_of(&document, member).map_err(|finding| vec![finding])?;
    let members = members_of(&mut document, group)?;
    let at = match beside {
        None => members.len(),
        Some(Beside::Before(other)) => position(members, group, other)?,
        Some(Beside::After(other)) => position(members, group, other)? + 1,
    };
    members.insert(at, member.to_owned());
    finished(document, cib)
}

/// The configuration in which `member` stands by itself instead of in `group`.
///
/// # Errors
/// A finding where it is no member, or the only one.
pub fn remove_member(cib: &Cib, group: &str, member: &str) -> Result<Cib, Vec<Finding>> {
    let mut document = Document::from_cib(cib);
    let members = members_of(&mut document, group)?;
    let at = position(members, group, member)?;
    if members.len() == 1 {
        let message = format!("\"{member}\" is the only member of \"{group}\"");
        return Err(vec![
            Finding::error("HV0212", message)
                .about(group)
                .fix(format!("dissolve the group: haven configure delete {group}")),
        ]);
    }
    members.remove(at);
    finished(document, cib)
}

fn members_of<'a>(
    document: &'a mut Document,
    group: &str,
) -> Result<&'a mut Vec<String>, Vec<Finding>> {
    let place = place_of(document, group).map_err(|finding| vec![finding])?;
    let object = &mut document.entries[place].object;
    let kind = object.kind();
    match object {
        Object::Group { members, .. } => Ok(members),
        _ => Err(vec![
            Finding::error("HV0212", format!("\"{group}\" is a {kind}, not a group"))
                .about(group)
                .fix("name a group; only groups have members in order"),
        ]),
    }
}

fn position(members: &[String], group: &str, wanted: &str) -> Result<usize, Vec<Finding>> {
    members.iter().position(|member| member == wanted).ok_or_else(|| {
        let near = nearest(wanted, members.iter().map(String::as_str));
        vec![
            Finding::error("HV0212", format!("\"{wanted}\" is no member of \"{group}\""))
                .about(group)
                .near(near)
                .fix(format!("members are: {}", members.join(", "))),
        ]
    })
}
