//! Moves and bans: wishes of operators that stand in the configuration as constraints, until their time is over or
//! they are cleared.

use haven_api::{ApiError, Code, Intent};
use haven_base::WallTime;
use haven_cib::{Condition, Constraint, DateTest, Location, Rule};

use crate::controller::Controller;
use crate::goals::Goal;
use crate::port::Clock;
use crate::request::ReplyTo;
use crate::waiting::Change;

/// Beginning of the ids of such constraints.
const PREFER: &str = "cli-prefer-";
const BAN: &str = "cli-ban-";

impl Controller {
    /// Has a resource prefer a node, or avoid the one where it is; until a date, or until it is cleared.
    pub(crate) fn move_resource(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        (resource, node, until): (String, Option<String>, Option<String>),
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        self.known_resource(&resource)?;
        if let Some(node) = &node {
            self.known_node(node)?;
        }
        let Some(node) = node else {
            let Some(current) = self.active_on(&resource).into_iter().next() else {
                let message = format!("cannot move \"{resource}\": it runs nowhere");
                return Err(ApiError::new(Code::Failed, message)
                    .remedy(format!("name a node: haven resource move {resource} NODE")));
            };
            return self.ban(
                clock,
                to,
                author,
                (resource, Some(current), until),
                (wait, timeout_ms),
            );
        };
        let what = format!("{resource} prefers {node}{}", in_words(until.as_deref()));
        let goal = Goal::RunsOn(resource.clone(), node.clone());
        let change = Change::action(what, wait, timeout_ms).towards(goal);
        let wish = Wish {
            id: format!("{PREFER}{resource}"),
            resource: &resource,
            node: &node,
            score: "INFINITY",
            until: until.as_deref(),
        };
        let wish = wish.constraint();
        self.edit(clock, to, author, change, |cib| {
            cib.constraints.retain(|known| wish_about(known) != Some(resource.as_str()));
            cib.put_constraint(wish);
            Ok(())
        })
    }

    /// Forbids a resource a node, until a date or until it is cleared.
    pub(crate) fn ban(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        (resource, node, until): (String, Option<String>, Option<String>),
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        self.known_resource(&resource)?;
        let place = node.or_else(|| self.active_on(&resource).into_iter().next());
        let Some(node) = place else {
            let message = format!("cannot ban \"{resource}\" from where it runs: it runs nowhere");
            return Err(ApiError::new(Code::Failed, message)
                .remedy(format!("name a node: haven resource ban {resource} NODE")));
        };
        self.known_node(&node)?;
        let ban = Wish {
            id: format!("{BAN}{resource}-on-{node}"),
            resource: &resource,
            node: &node,
            score: "-INFINITY",
            until: until.as_deref(),
        };
        let ban = ban.constraint();
        let goal = Goal::RunsNotOn(resource.clone(), node.clone());
        let what = format!("{resource} avoids {node}{}", in_words(until.as_deref()));
        let change = Change::action(what, wait, timeout_ms).towards(goal);
        self.edit(clock, to, author, change, |cib| {
            cib.constraints.retain(|known| {
                let opposed = known.id().starts_with(PREFER)
                    && wish_about(known) == Some(resource.as_str())
                    && wished_node(known) == node;
                !opposed
            });
            cib.put_constraint(ban);
            Ok(())
        })
    }

    /// Forgets moves and bans: of one resource, or of all those that are expired.
    pub(crate) fn clear(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        resource: Option<String>,
        expired: bool,
    ) -> Result<(), ApiError> {
        match &resource {
            Some(resource) => self.known_resource(resource)?,
            None if expired => {}
            None => {
                let message = "name the resource whose moves and bans are to be forgotten";
                return Err(ApiError::new(Code::Usage, message)
                    .remedy("haven resource clear RESOURCE, or haven resource clear --expired"));
            }
        }
        let now = clock.wall;
        let goes = move |known: &Constraint| {
            wish_about(known).is_some_and(|about| resource.as_deref().is_none_or(|r| r == about))
                && (!expired || is_over(known, now))
        };
        let found: Vec<&Constraint> =
            self.state.cib.constraints.iter().filter(|known| goes(known)).collect();
        let names: Vec<String> = found.iter().map(|known| known.id().to_owned()).collect();
        let kind = if expired { "expired moves or bans" } else { "moves or bans" };
        let text = match names.as_slice() {
            [] => format!("there were no {kind} to forget"),
            names => format!("forgotten: {}", names.join(", ")),
        };
        let change = Change::action(text, false, None);
        self.edit(clock, to, author, change, |cib| {
            cib.constraints.retain(|known| !goes(known));
            Ok(())
        })
    }

    /// Wishes that stand in the configuration.
    pub(crate) fn intents(&self, now: WallTime) -> Vec<Intent> {
        let found = self.state.cib.constraints.iter().filter_map(|known| {
            let resource = wish_about(known)?.to_owned();
            let verb = if known.id().starts_with(BAN) { "avoid" } else { "prefer" };
            let end = end_of(known).map(|end| format!(" until {end}")).unwrap_or_default();
            let expired = is_over(known, now);
            let over = if expired { " (expired)" } else { "" };
            let wish = format!("{verb} {}{end}{over}", wished_node(known));
            Some(Intent { resource, wish, constraint: known.id().to_owned(), expired })
        });
        found.collect()
    }
}

fn in_words(until: Option<&str>) -> String {
    until.map(|until| format!(" until {until}")).unwrap_or_default()
}

/// The resource that a constraint is a wish about; none where it is another constraint.
fn wish_about(constraint: &Constraint) -> Option<&str> {
    match constraint {
        Constraint::Location(l) if l.id.starts_with("cli-") => l.resource.as_deref(),
        Constraint::Location(_)
        | Constraint::Colocation(_)
        | Constraint::Order(_)
        | Constraint::Ticket(_) => None,
    }
}

fn conditions(constraint: &Constraint) -> impl Iterator<Item = &Condition> {
    let location = match constraint {
        Constraint::Location(location) => Some(location),
        Constraint::Colocation(_) | Constraint::Order(_) | Constraint::Ticket(_) => None,
    };
    location.into_iter().flat_map(|l| &l.rules).flat_map(|rule| &rule.conditions)
}

/// The node of a wish: by itself, or in its rule.
fn wished_node(constraint: &Constraint) -> String {
    if let Constraint::Location(Location { node: Some(node), .. }) = constraint {
        return node.clone();
    }
    let ruled = conditions(constraint).find_map(|condition| match condition {
        Condition::Attribute(test) if test.attribute.as_deref() == Some("#uname") => {
            test.value.clone()
        }
        Condition::Attribute(_)
        | Condition::Rule(_)
        | Condition::Date(_)
        | Condition::Resource { .. }
        | Condition::Operation { .. }
        | Condition::Unknown(_) => None,
    });
    ruled.unwrap_or_else(|| "?".to_owned())
}

/// When a wish ends by itself.
fn end_of(constraint: &Constraint) -> Option<&str> {
    conditions(constraint).find_map(|condition| match condition {
        Condition::Date(date) => date.end.as_deref(),
        Condition::Rule(_)
        | Condition::Attribute(_)
        | Condition::Resource { .. }
        | Condition::Operation { .. }
        | Condition::Unknown(_) => None,
    })
}

fn is_over(constraint: &Constraint, now: WallTime) -> bool {
    let end = end_of(constraint).and_then(haven_policy::parse_time);
    end.is_some_and(|end| end <= now)
}

/// A wish of an operator about where a resource runs.
struct Wish<'a> {
    /// Id of the constraint that carries it.
    id: String,
    resource: &'a str,
    node: &'a str,
    score: &'a str,
    /// When it ends by itself.
    until: Option<&'a str>,
}

impl Wish<'_> {
    /// The constraint that carries it, with the ids that crm_resource gives its parts.
    fn constraint(self) -> Constraint {
        let Wish { id, resource, node, score, until } = self;
        let about = Some(resource.to_owned());
        let plain = Location { id: id.clone(), resource: about, ..Location::default() };
        let Some(until) = until else {
            let (node, score) = (Some(node.to_owned()), Some(score.to_owned()));
            return Constraint::Location(Location { node, score, ..plain });
        };
        // Of a move the part comes before the resource, of a ban at the end.
        let part = |name: &str| match id.strip_prefix(PREFER) {
            Some(resource) => format!("{PREFER}{name}-{resource}"),
            None => format!("{id}-{name}"),
        };
        let here = haven_cib::AttributeTest {
            id: part("expr"),
            attribute: Some("#uname".to_owned()),
            operation: Some("eq".to_owned()),
            value: Some(node.to_owned()),
            kind: Some("string".to_owned()),
            value_source: None,
        };
        let lifetime = if id.starts_with(PREFER) { "lifetime-end" } else { "lifetime" };
        let before = DateTest {
            id: part(lifetime),
            operation: Some("lt".to_owned()),
            end: Some(until.to_owned()),
            ..DateTest::default()
        };
        let rule = Rule {
            id: part("rule"),
            score: Some(score.to_owned()),
            boolean_op: Some("and".to_owned()),
            conditions: vec![Condition::Attribute(here), Condition::Date(before)],
            ..Rule::default()
        };
        Constraint::Location(Location { rules: vec![rule], ..plain })
    }
}
