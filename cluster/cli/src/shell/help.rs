//! `help X`: what X is, which values it may have, which counts, which is in force.

use haven_cib::crm::vocabulary::{self, Allowed, Place};

use super::complete::words_of;
use super::snapshot::Snapshot;

/// The text about a name; none where nothing is known of it.
pub(crate) fn about(name: &str, known: &Snapshot) -> Option<String> {
    let places = [
        (Place::Property, "cluster option", "property"),
        (Place::Meta, "meta attribute", "meta"),
        (Place::Operation, "attribute of an operation", "op monitor"),
    ];
    let mut text = String::new();
    for (place, what, word) in places {
        if !vocabulary::known(place).contains(&name) {
            continue;
        }
        text.push_str(&format!("{name}: {what}\n"));
        text.push_str(&format!("  allowed: {}\n", in_words(vocabulary::allowed(place, name))));
        let default = vocabulary::default_value(place, name).unwrap_or("none");
        text.push_str(&format!("  default: {default}\n"));
        let current = known.current(place, name);
        if current.is_empty() {
            text.push_str("  in force: the default\n");
        }
        for (object, value) in current {
            text.push_str(&format!("  in force: {value} ({object})\n"));
        }
        text.push_str(&format!("  set it: {word} {name}=VALUE\n"));
    }
    if let Some(parameters) = known.parameters.get(name) {
        text.push_str(&format!("{name}: agent; its parameters:\n"));
        for (parameter, facts) in parameters {
            let mut notes = vec![facts.content.clone()];
            notes.extend(facts.required.then(|| "required".to_owned()));
            notes.extend(facts.default.iter().map(|default| format!("default {default}")));
            let words = words_of(facts);
            notes.extend((!words.is_empty()).then(|| words.join(" | ")));
            notes.retain(|note| !note.is_empty());
            text.push_str(&format!("  {parameter} ({}): {}\n", notes.join(", "), facts.about));
        }
    }
    (!text.is_empty()).then_some(text)
}

fn in_words(allowed: Option<Allowed>) -> String {
    match allowed {
        Some(Allowed::Boolean) => "true or false".to_owned(),
        Some(Allowed::Score) => {
            "a whole number from -1000000 to 1000000, INFINITY, -INFINITY".to_owned()
        }
        Some(Allowed::Duration) => {
            "a time: 20s, 500ms, 5min, 1h; seconds without a unit".to_owned()
        }
        Some(Allowed::Integer) => "a whole number".to_owned(),
        Some(Allowed::OneOf(words)) => words.join(", "),
        None => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::complete::tests::snapshot;

    #[test]
    fn help_tells_what_is_allowed_what_counts_and_what_is_in_force() {
        let mut known = snapshot();
        assert_eq!(
            about("no-quorum-policy", &known).unwrap(),
            "no-quorum-policy: cluster option\n\
             \u{20} allowed: ignore, freeze, stop, demote, fence, suicide\n\
             \u{20} default: stop\n\
             \u{20} in force: the default\n\
             \u{20} set it: property no-quorum-policy=VALUE\n"
        );
        known.cib.set_option("no-quorum-policy", Some("freeze"));
        let text = about("no-quorum-policy", &known).unwrap();
        assert!(text.contains("in force: freeze (property)"), "{text}");
        known.cib.set_meta("web", "target-role", Some("Stopped")).unwrap();
        let text = about("target-role", &known).unwrap();
        assert!(text.contains("in force: Stopped (web)"), "{text}");
        let text = about("ocf:haven:ip", &known).unwrap();
        assert!(text.contains("ip (string, required): the address"), "{text}");
        assert!(text.contains("mode (select, default fast, fast | slow): how"), "{text}");
        assert_eq!(about("frobnicate", &known), None);
    }
}
