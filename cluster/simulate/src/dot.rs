//! The transition graph for Graphviz.

use std::fmt::Write;

use haven_policy::{ConsideredAction, Decision};

/// Writes the actions of a decision and what waits for what. `all` also has those that are not
/// needed or not managed; `numbered` has the number of each behind its name.
pub(crate) fn digraph(decision: &Decision, all: bool, numbered: bool) -> String {
    let actions = decision.considered.as_ref().map_or(&[][..], |c| &c.actions);
    let name = |a: &ConsideredAction| {
        if numbered { format!("{} ({})", a.name, a.number) } else { a.name.clone() }
    };
    let shown = |a: &ConsideredAction| a.in_graph || all || (a.managed && !a.optional);
    let mut out = String::from(" digraph \"g\" {\n");
    for a in actions.iter().filter(|a| shown(a)) {
        let (style, color, mut font) = match a {
            _ if a.in_graph => ("bold", "green", "black"),
            _ if !a.managed => ("dashed", "red", "purple"),
            _ if a.optional => ("dashed", "blue", "black"),
            _ => ("dashed", "red", "black"),
        };
        if a.pseudo && font == "black" {
            font = "orange";
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "\"{}\" [ style={style} color=\"{color}\" fontcolor=\"{font}\"]",
            name(a)
        );
    }
    for a in actions {
        for i in &a.inputs {
            let Some(first) = actions.get(i.action) else { continue };
            if !i.in_graph && i.void {
                continue;
            }
            let both = shown(first) && shown(a) && !i.same_node_only;
            if !(i.in_graph || all || both) {
                continue;
            }
            let style = if i.in_graph { "bold" } else { "dashed" };
            let _ = writeln!(out, "\"{}\" -> \"{}\" [ style = {style}]", name(first), name(a));
        }
    }
    out.push_str("}\n");
    out
}
