//! The agent's OCF 1.1 metadata, made from the same table that parsing reads.

use std::fmt::Write as _;

use crate::params::table::{ACTIONS, Action, Content, PARAMETERS, Parameter};

/// Which schema the reader of the metadata knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edition {
    /// OCF 1.0, as `ra-api-1.dtd` of resource-agents describes it: no lists of words, no old names.
    V1_0,
    /// OCF 1.1, with what haven adds.
    V1_1,
}

/// The metadata document. In 1.1, `special tag="haven"` says that resources of this agent run under
/// `requires=lease` by default; other engines pass it over.
#[must_use]
pub fn metadata(edition: Edition) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    if edition == Edition::V1_0 {
        xml.push_str("<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">\n");
    }
    xml.push_str(concat!(
        "<resource-agent name=\"ip\" version=\"",
        env!("CARGO_PKG_VERSION"),
        "\">\n  <version>"
    ));
    xml.push_str(if edition == Edition::V1_0 { "1.0" } else { "1.1" });
    xml.push_str("</version>\n");
    let long = "Holds IPv4 and IPv6 addresses: puts them on an interface, announces them to the \
                neighbours until one answers, defends them, and puts them back when somebody changes \
                them. Under a lease the kernel drops an address whose owner no longer renews it.";
    describe(&mut xml, 1, long, "addresses that move between nodes");
    xml.push_str("  <parameters>\n");
    for parameter in PARAMETERS {
        put_parameter(&mut xml, parameter, edition);
    }
    xml.push_str("  </parameters>\n  <actions>\n");
    for action in ACTIONS {
        put_action(&mut xml, action);
    }
    xml.push_str("  </actions>\n");
    if edition == Edition::V1_1 {
        xml.push_str("  <special tag=\"haven\"><requires>lease</requires></special>\n");
    }
    xml.push_str("</resource-agent>\n");
    xml
}

fn put(xml: &mut String, text: std::fmt::Arguments<'_>) {
    let written = xml.write_fmt(text);
    assert!(written.is_ok(), "writing to a String does not fail");
}

fn describe(xml: &mut String, depth: usize, long: &str, short: &str) {
    let indent = "  ".repeat(depth);
    put(xml, format_args!("{indent}<longdesc lang=\"en\">{}</longdesc>\n", escape(long)));
    put(xml, format_args!("{indent}<shortdesc lang=\"en\">{}</shortdesc>\n", escape(short)));
}

fn put_parameter(xml: &mut String, parameter: &Parameter, edition: Edition) {
    let Parameter { name, alias, content, default, required, unique, short, long } = parameter;
    let (required, unique) = (u8::from(*required), u8::from(*unique));
    put(
        xml,
        format_args!(
            "    <parameter name=\"{name}\" required=\"{required}\" unique=\"{unique}\">\n"
        ),
    );
    describe(xml, 3, long, short);
    put_content(xml, *content, default, edition);
    xml.push_str("    </parameter>\n");
    if let Some(alias) = alias {
        put(xml, format_args!("    <parameter name=\"{alias}\" required=\"0\" unique=\"0\">\n"));
        if edition == Edition::V1_1 {
            let by =
                format_args!("      <deprecated><replaced-with name=\"{name}\"/></deprecated>\n");
            put(xml, by);
        }
        describe(xml, 3, &format!("Older name of {name}."), &format!("see {name}"));
        put_content(xml, *content, default, edition);
        xml.push_str("    </parameter>\n");
    }
}

fn put_content(xml: &mut String, content: Content, default: &str, edition: Edition) {
    let default = escape(default);
    let (kind, options): (&str, &[&str]) = match content {
        Content::String => ("string", &[]),
        Content::Integer => ("integer", &[]),
        Content::Boolean => ("boolean", &[]),
        Content::Select(_) if edition == Edition::V1_0 => ("string", &[]),
        Content::Select(options) => ("select", options),
    };
    put(xml, format_args!("      <content type=\"{kind}\" default=\"{default}\""));
    if options.is_empty() {
        xml.push_str("/>\n");
        return;
    }
    xml.push('>');
    for option in options {
        put(xml, format_args!("<option value=\"{option}\"/>"));
    }
    xml.push_str("</content>\n");
}

fn put_action(xml: &mut String, action: &Action) {
    let Action { name, timeout_s, interval_s } = action;
    put(xml, format_args!("    <action name=\"{name}\" timeout=\"{timeout_s}s\""));
    if *interval_s > 0 {
        put(xml, format_args!(" interval=\"{interval_s}s\" depth=\"0\""));
    }
    xml.push_str("/>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_and_action_is_there_and_elements_are_closed() {
        let xml = metadata(Edition::V1_1);
        for parameter in PARAMETERS {
            assert!(xml.contains(&format!("<parameter name=\"{}\"", parameter.name)));
        }
        assert!(xml.contains("<action name=\"monitor\" timeout=\"20s\" interval=\"10s\""));
        assert!(xml.contains("<special tag=\"haven\"><requires>lease</requires></special>"));
        assert!(xml.contains("<deprecated><replaced-with name=\"cidr_netmask\"/></deprecated>"));
        let mut open = Vec::new();
        for tag in xml.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed.to_owned()));
            } else if !tag.ends_with('/') && !tag.starts_with('?') {
                open.push(tag.split(' ').next().unwrap().to_owned());
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_older_edition_has_nothing_that_its_schema_does_not_know() {
        let xml = metadata(Edition::V1_0);
        assert!(xml.contains("<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">"));
        for newer in ["<special", "<deprecated", "<option", "\"select\""] {
            assert!(!xml.contains(newer), "{newer}");
        }
    }
}
