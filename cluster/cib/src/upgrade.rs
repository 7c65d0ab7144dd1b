//! Documents of old schemas, brought to the present meaning before they are read.

use crate::xml::Element;

/// Old cluster option names and what they are called now.
const OPTION_NAMES: [(&str, &str); 8] = [
    ("stonith-enabled", "fencing-enabled"),
    ("stonith-action", "fencing-action"),
    ("stonith-timeout", "fencing-timeout"),
    ("stonith-max-attempts", "fencing-max-attempts"),
    ("stonith-watchdog-timeout", "fencing-watchdog-timeout"),
    ("fence-reaction", "fencing-reaction"),
    ("stop-orphan-resources", "stop-removed-resources"),
    ("stop-orphan-actions", "stop-removed-actions"),
];

/// Brings a `<cib>` element to the newest meaning, in place.
pub(crate) fn upgrade(root: &mut Element) {
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
fn options(section: &mut Element) {
    for set in section.children.iter_mut() {
        for (old, new) in OPTION_NAMES {
            if set.children.iter().any(|p| p.attr("name") == Some(new)) {
                continue;
            }
            for pair in set.children.iter_mut().filter(|p| p.attr("name") == Some(old)) {
                pair.set("name", new);
            }
        }
    }
}
