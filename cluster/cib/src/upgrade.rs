//! Documents of old schemas, brought to the present meaning before they are read.

use crate::crm::RENAMED_PROPERTIES;
use crate::xml::Markup;

/// Brings a `<cib>` element to the newest meaning, in place.
pub(crate) fn upgrade(root: &mut Markup<'_>) {
    let Some(configuration) = root.children.iter_mut().find(|c| c.name == "configuration") else {
        return;
    };
    for section in &mut configuration.children {
        if section.name == "crm_config" {
            options(section);
        }
    }
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
