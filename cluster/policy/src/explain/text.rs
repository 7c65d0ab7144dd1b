//! An explanation as people read it.

use std::fmt;

use super::{Deciding, Explanation, Instance, Kind, Row, Rule, Term, Verdict};
use crate::world::values::{self, INFINITY};

/// Terms of a node that are shown; the rest is counted.
const TERMS: usize = 3;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, instance) in self.instances.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{instance}")?;
        }
        writeln!(f)?;
        let changes = &self.counterfactuals;
        if changes.is_empty() {
            writeln!(f, "No single change of those tried ({}) would alter this.", self.tried)?;
        } else {
            writeln!(f, "A single change would alter this:")?;
        }
        let width = changes.iter().map(|c| c.change.chars().count()).max().unwrap_or(0);
        for c in changes {
            write!(f, "  {:<width$}  {} {}", c.change, self.subject, c.result)?;
            match c.others {
                0 => writeln!(f)?,
                1 => writeln!(f, "; 1 other moves, too")?,
                n => writeln!(f, "; {n} others move, too")?,
            }
        }
        if self.untried > 0 {
            writeln!(f, "{} more changes were not tried.", self.untried)?;
        }
        Ok(())
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.resource;
        let here = self.node.as_deref().unwrap_or("no node");
        let was = if self.was.is_empty() { "nowhere".to_owned() } else { self.was.join(", ") };
        match self.verdict {
            Verdict::Run => write!(f, "{name} runs on {here} and stays")?,
            Verdict::Start => write!(f, "{name} is started on {here}")?,
            Verdict::Move => write!(f, "{name} moves from {was} to {here}")?,
            Verdict::Restart => write!(f, "{name} is restarted on {here}")?,
            Verdict::Stop => write!(f, "{name} is stopped on {was}")?,
            Verdict::Stopped => write!(f, "{name} is stopped, and is not started")?,
            Verdict::Blocked => write!(f, "{name} cannot be started now")?,
            Verdict::Unmanaged => write!(f, "{name} is left as it is, on {was}")?,
        }
        if self.role == "Promoted" || self.role == "Unpromoted" {
            write!(f, ", {}", self.role.to_lowercase())?;
        }
        writeln!(f, ".")?;
        writeln!(f, "  {}", self.deciding)?;
        let width = self.table.iter().map(|r| r.node.chars().count()).max().unwrap_or(0);
        for row in &self.table {
            let mark = if Some(&row.node) == self.node.as_ref() { '*' } else { ' ' };
            writeln!(f, "  {mark} {:<width$}  {:>9}  {}", row.node, total(row), terms(row))?;
        }
        for a in &self.actions {
            let able = if a.runnable { "" } else { " cannot be done" };
            let why: Vec<String> = a.terms.iter().map(words).collect();
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
            writeln!(f, "  {} on {}{able}{why}", a.operation, a.node)?;
        }
        Ok(())
    }
}

fn total(row: &Row) -> String {
    if row.eligible { values::readable(row.total) } else { "never".to_owned() }
}

fn terms(row: &Row) -> String {
    let list = if row.vetoes.is_empty() { &row.terms } else { &row.vetoes };
    if list.is_empty() {
        return "–".to_owned();
    }
    let mut shown: Vec<String> = list.iter().take(TERMS).map(term).collect();
    if list.len() > TERMS {
        shown.push(format!("and {} more", list.len() - TERMS));
    }
    shown.join(", ")
}

fn term(t: &Term) -> String {
    if t.value <= -INFINITY {
        return words(t);
    }
    let sign = if t.value > 0 { "+" } else { "" };
    format!("{sign}{} {}", values::readable(t.value), words(t))
}

fn words(t: &Term) -> String {
    let kind = match t.kind {
        Kind::Location | Kind::Rule => "location ",
        Kind::Colocation => "colocation ",
        Kind::Ticket => "ticket constraint ",
        Kind::Order if t.source != "implied" => "order ",
        Kind::Order => return t.detail.clone(),
        Kind::Stickiness
        | Kind::Failure
        | Kind::Utilization
        | Kind::Quorum
        | Kind::Fencing
        | Kind::Promotion
        | Kind::Role
        | Kind::Managed
        | Kind::ShutdownLock
        | Kind::Nature
        | Kind::Group
        | Kind::Health
        | Kind::Node
        | Kind::Other => return t.detail.clone(),
        Kind::Instances => return format!("{} of {}", t.detail, t.source),
    };
    if t.detail.is_empty() {
        format!("{kind}{}", t.source)
    } else {
        format!("{kind}{} ({})", t.source, t.detail)
    }
}

impl fmt::Display for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = self.against.as_deref().unwrap_or("any other");
        let term = self.term.as_ref();
        match self.rule {
            Rule::Score => {
                let margin = values::readable(self.margin.unwrap_or(0).abs());
                let better = if self.margin.unwrap_or(0) < 0 { "worse" } else { "better" };
                write!(f, "Decided by score, {margin} {better} than {other}")?;
                if let Some(t) = term {
                    write!(f, ": {}", self::term(t))?;
                }
                f.write_str(".")
            }
            Rule::OnlyNode => f.write_str("No other node can run it."),
            Rule::NoNode => match term {
                Some(t) => write!(f, "No node can run it: {}.", words(t)),
                None => f.write_str("No node can run it."),
            },
            Rule::Stays => write!(f, "It runs there, and {other} is no better."),
            Rule::Preferred => {
                write!(f, "It is asked for there, and {other} is no better.")
            }
            Rule::Capacity => write!(f, "The scores are the same; {other} has less capacity left."),
            Rule::FewerResources => {
                write!(f, "The scores are the same; {other} was given more resources before.")
            }
            Rule::Name => write!(f, "All else is the same as on {other}; its name comes first."),
            Rule::Blocked => match term {
                Some(t) => write!(f, "It has a node, but cannot be started there: {}.", words(t)),
                None => f.write_str("It has a node, but cannot be started there."),
            },
            Rule::Unmanaged => match term {
                Some(t) => write!(f, "It is not managed: {}.", words(t)),
                None => f.write_str("It is not managed."),
            },
            Rule::StopAll => f.write_str("Nothing is to run: stop-all-resources."),
        }
    }
}
