//! `crm_attribute`, `crm_master`, `attrd_updater`: options to requests.

use clap::Parser;
use haven_api::{ApiError, AttributeLifetime, Code, Format, Load, RequestBody};

use super::{Environment, Step, answer};
use crate::{commands, duration};

/// `crm_attribute`: cluster options, and attributes of nodes.
#[derive(Debug, Parser)]
pub(super) struct CrmAttribute {
    /// crm_config, nodes or status
    #[arg(long = "type", short = 't')]
    scope: Option<String>,
    /// Node of the attribute
    #[arg(long, short = 'N', visible_alias = "uname", short_alias = 'U')]
    node: Option<String>,
    /// Name of the attribute or option
    #[arg(long, short = 'n', visible_alias = "attr-name")]
    name: Option<String>,
    /// Print its value
    #[arg(long, short = 'G', visible_alias = "get-value")]
    query: bool,
    /// Set its value
    #[arg(long, short = 'v', visible_alias = "attr-value", allow_hyphen_values = true)]
    update: Option<String>,
    /// Delete it
    #[arg(long, short = 'D', visible_alias = "delete-attr")]
    delete: bool,
    /// The promotion score of a resource; of the calling agent's without a name
    #[arg(long, short = 'p', num_args = 0..=1, require_equals = true)]
    promotion: Option<Option<String>>,
    /// forever or reboot
    #[arg(long, short = 'l')]
    lifetime: Option<String>,
    /// Print only the value
    #[arg(long, short = 'q', short_alias = 'Q')]
    quiet: bool,
    /// Printed where there is no value
    #[arg(long, short = 'd')]
    default: Option<String>,
    /// Block of the option; haven has one block
    #[arg(long, short = 's')]
    set_name: Option<String>,
    /// Id of the value; haven makes its own
    #[arg(long, short = 'i')]
    id: Option<String>,
    /// More words; there are none
    #[arg(long, short = 'V', action = clap::ArgAction::Count)]
    verbose: u8,
}

/// `crm_master`: the promotion score of the calling agent.
#[derive(Debug, Parser)]
pub(super) struct CrmMaster {
    /// Resource; without it the calling agent's
    #[arg(long, short = 'r')]
    resource: Option<String>,
    /// Node; without it this one
    #[arg(long, short = 'N', visible_alias = "uname", short_alias = 'U')]
    node: Option<String>,
    /// Print the score
    #[arg(long, short = 'G', visible_alias = "get-value")]
    query: bool,
    /// Set the score
    #[arg(long, short = 'v', visible_alias = "attr-value", allow_hyphen_values = true)]
    update: Option<String>,
    /// Delete the score
    #[arg(long, short = 'D', visible_alias = "delete-attr")]
    delete: bool,
    /// forever or reboot
    #[arg(long, short = 'l')]
    lifetime: Option<String>,
    /// Print only the score
    #[arg(long, short = 'q', short_alias = 'Q')]
    quiet: bool,
    /// More words; there are none
    #[arg(long, short = 'V', action = clap::ArgAction::Count)]
    verbose: u8,
}

/// `attrd_updater`: transient attributes.
#[derive(Debug, Parser)]
pub(super) struct AttrdUpdater {
    /// Name of the attribute
    #[arg(long, short = 'n')]
    name: String,
    /// Set its value
    #[arg(long, short = 'U', visible_short_alias = 'v', allow_hyphen_values = true)]
    update: Option<String>,
    /// Set its value and its delay
    #[arg(long, short = 'B', allow_hyphen_values = true)]
    update_both: Option<String>,
    /// Set its delay only
    #[arg(long, short = 'Y')]
    update_delay: bool,
    /// Print its value
    #[arg(long, short = 'Q')]
    query: bool,
    /// Delete it
    #[arg(long, short = 'D')]
    delete: bool,
    /// Tell it again; haven always does
    #[arg(long, short = 'R')]
    refresh: bool,
    /// How long changes are held back
    #[arg(long, short = 'd')]
    delay: Option<String>,
    /// Node; without it this one
    #[arg(long, short = 'N')]
    node: Option<String>,
    /// Of all nodes
    #[arg(long, short = 'A')]
    all: bool,
    /// Never used for planning
    #[arg(long, short = 'p')]
    private: bool,
    /// Print only the value
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Section of old versions
    #[arg(long, short = 'S')]
    section: Option<String>,
    /// Block of old versions
    #[arg(long, short = 's')]
    set: Option<String>,
    /// What to wait for; haven answers when the node has it
    #[arg(long, short = 'W')]
    wait: Option<String>,
    /// More words; there are none
    #[arg(long, short = 'V', action = clap::ArgAction::Count)]
    verbose: u8,
}

/// What is to become of an attribute.
enum Wish {
    Query { default: Option<String>, quiet: bool },
    Set(String),
    Delete,
}

struct Target {
    node: Option<String>,
    name: String,
    lifetime: AttributeLifetime,
}

pub(super) fn crm_attribute(
    args: &CrmAttribute,
    environment: &Environment<'_>,
) -> Result<Vec<Step>, ApiError> {
    let wish = match (&args.update, args.delete) {
        (Some(value), _) => Wish::Set(value.clone()),
        (None, true) => Wish::Delete,
        (None, false) => Wish::Query { default: args.default.clone(), quiet: args.quiet },
    };
    let lifetime = lifetime(args.lifetime.as_deref())?;
    if let Some(resource) = &args.promotion {
        let name = promotion(resource.as_deref(), environment)?;
        let lifetime = lifetime.unwrap_or(AttributeLifetime::Reboot);
        return Ok(node_steps(Target { node: args.node.clone(), name, lifetime }, wish));
    }
    let name = args.name.clone().ok_or_else(|| usage("no name is given: --name"))?;
    let lifetime = match (args.scope.as_deref(), lifetime, &args.node) {
        (Some("crm_config"), ..) | (None, None, None) => return Ok(option_steps(name, wish)),
        (Some("status" | "reboot"), ..) => AttributeLifetime::Reboot,
        (Some("nodes" | "forever"), ..) => AttributeLifetime::Forever,
        (None, lifetime, _) => lifetime.unwrap_or_default(),
        (Some(other), ..) => return Err(usage(&format!("haven keeps no attributes in {other}"))),
    };
    let node = args.node.clone().filter(|node| !matches!(node.as_str(), "localhost" | "auto"));
    Ok(node_steps(Target { node, name, lifetime }, wish))
}

pub(super) fn crm_master(
    args: &CrmMaster,
    environment: &Environment<'_>,
) -> Result<Vec<Step>, ApiError> {
    let name = promotion(args.resource.as_deref(), environment)?;
    let lifetime = lifetime(args.lifetime.as_deref())?.unwrap_or(AttributeLifetime::Reboot);
    let wish = match (&args.update, args.delete) {
        (Some(value), _) => Wish::Set(value.clone()),
        (None, true) => Wish::Delete,
        (None, false) => Wish::Query { default: None, quiet: args.quiet },
    };
    Ok(node_steps(Target { node: args.node.clone(), name, lifetime }, wish))
}

pub(super) fn attrd_updater(args: &AttrdUpdater) -> Result<Vec<Step>, ApiError> {
    let name = args.name.clone();
    let delay = args.delay.as_deref().map(milliseconds).transpose()?;
    let value = args.update_both.as_ref().or(args.update.as_ref());
    if args.refresh {
        return Ok(Vec::new());
    }
    if value.is_none() && !args.delete && !args.update_delay {
        let quiet = args.quiet;
        let (node, every) = (args.node.clone(), args.all);
        return Ok(vec![of_this_node(node, every, move |node| {
            let body = RequestBody::NodeAttributes { node, name: Some(name.clone()) };
            Step::Ask(body, Box::new(move |reply| answer::told(answer::rows(reply)?, &name, quiet)))
        })]);
    }
    let set = move |value: Option<String>, node: Option<String>, name: String, private: bool| {
        Step::Change(RequestBody::NodeAttributeSet {
            node,
            name,
            value,
            lifetime: AttributeLifetime::Reboot,
            delay_ms: delay,
            private,
        })
    };
    if args.update_delay && value.is_none() {
        // The value stays what it is.
        let (node, private) = (args.node.clone(), args.private);
        return Ok(vec![of_this_node(node, false, move |node| {
            let body = RequestBody::NodeAttributes { node: node.clone(), name: Some(name.clone()) };
            Step::Then(
                body,
                Box::new(move |reply| {
                    let rows = answer::rows(reply)?;
                    let row = rows.iter().find(|row| row.lifetime == AttributeLifetime::Reboot);
                    let value =
                        row.and_then(|row| row.pending.clone().or_else(|| row.value.clone()));
                    Ok(vec![set(value, node, name, private)])
                }),
            )
        })]);
    }
    Ok(vec![set(value.cloned(), args.node.clone(), name, args.private)])
}

/// A step about a node that may have to be found first: without a name it is the daemon's own.
pub(super) fn of_this_node(
    node: Option<String>,
    every: bool,
    step: impl FnOnce(Option<String>) -> Step + 'static,
) -> Step {
    if every || node.is_some() {
        return step(if every { None } else { node });
    }
    Step::Then(
        RequestBody::Hello,
        Box::new(move |reply| {
            let haven_api::ReplyBody::Hello(hello) = reply else {
                return Err(commands::unexpected(reply));
            };
            Ok(vec![step(Some(hello.node.clone()))])
        }),
    )
}

fn node_steps(target: Target, wish: Wish) -> Vec<Step> {
    let Target { node, name, lifetime } = target;
    let set = |value: Option<String>, node: Option<String>, name: String| {
        let (delay_ms, private) = (None, false);
        Step::Change(RequestBody::NodeAttributeSet {
            node,
            name,
            value,
            lifetime,
            delay_ms,
            private,
        })
    };
    match wish {
        Wish::Set(value) => vec![set(Some(value), node, name)],
        Wish::Delete => vec![set(None, node, name)],
        Wish::Query { default, quiet } => vec![of_this_node(node, false, move |node| {
            let body = RequestBody::NodeAttributes { node, name: Some(name.clone()) };
            Step::Ask(
                body,
                Box::new(move |reply| {
                    let rows = answer::rows(reply)?;
                    answer::queried(rows, &name, lifetime, default.as_deref(), quiet)
                }),
            )
        })],
    }
}

/// Options of the cluster, which agents use to tell each other things as well.
fn option_steps(name: String, wish: Wish) -> Vec<Step> {
    let load = |line: String| {
        RequestBody::ConfigureLoad(Load { text: line, force: true, ..Load::default() })
    };
    match wish {
        Wish::Set(value) => {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            vec![Step::Change(load(format!("property {name}=\"{value}\"\n")))]
        }
        // An option without a value is one that nobody set.
        Wish::Delete => vec![Step::Change(load(format!("property {name}=\"\"\n")))],
        Wish::Query { default, quiet } => {
            let body = RequestBody::ConfigureShow { format: Format::Json };
            vec![Step::Ask(
                body,
                Box::new(move |reply| {
                    let haven_api::ReplyBody::Configuration { text, .. } = reply else {
                        return Err(commands::unexpected(reply));
                    };
                    let cib: haven_cib::Cib = serde_json::from_str(text)
                        .map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
                    let value = cib.option(&name).filter(|value| !value.is_empty());
                    answer::value_line("crm_config", &name, value.or(default.as_deref()), quiet)
                }),
            )]
        }
    }
}

/// The field's name of a promotion score.
fn promotion(resource: Option<&str>, environment: &Environment<'_>) -> Result<String, ApiError> {
    let named = resource.filter(|name| !name.is_empty()).map(str::to_owned);
    let resource = named.or_else(|| environment("OCF_RESOURCE_INSTANCE")).ok_or_else(|| {
        usage("no resource is known: agents have it in OCF_RESOURCE_INSTANCE, others name it")
    })?;
    Ok(format!("master-{resource}"))
}

fn lifetime(word: Option<&str>) -> Result<Option<AttributeLifetime>, ApiError> {
    match word {
        None => Ok(None),
        Some("forever") => Ok(Some(AttributeLifetime::Forever)),
        Some("reboot") => Ok(Some(AttributeLifetime::Reboot)),
        Some(other) => Err(usage(&format!("a lifetime is forever or reboot, not {other}"))),
    }
}

fn milliseconds(text: &str) -> Result<u64, ApiError> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(seconds.saturating_mul(1000));
    }
    duration::parse(text).map(duration::millis).map_err(|error| usage(&error))
}

fn usage(text: &str) -> ApiError {
    ApiError::new(Code::Usage, text)
}
