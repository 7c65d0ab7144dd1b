//! `haven node attribute NODE …`

use haven_api::{ApiError, AttributeLifetime, AttributeRow, Code, ReplyBody, RequestBody};

use super::{Session, unexpected};
use crate::args::{Attribute, LifetimeArg};
use crate::{duration, render};

pub(super) fn run(
    node: String,
    action: Attribute,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    match action {
        Attribute::Set { name, value, lifetime, delay, private } => {
            let body = RequestBody::NodeAttributeSet {
                node: Some(node),
                name,
                value: Some(value),
                lifetime: lifetime.into(),
                delay_ms: delay.map(duration::millis),
                private,
            };
            session.change(body, None)
        }
        Attribute::Get { name, lifetime } => get(&node, &name, lifetime, session),
        Attribute::Delete { name, lifetime } => {
            for row in found(&node, &name, lifetime, session)? {
                let body = RequestBody::NodeAttributeSet {
                    node: Some(node.clone()),
                    name: name.clone(),
                    value: None,
                    lifetime: row.lifetime,
                    delay_ms: None,
                    private: false,
                };
                session.change(body, None)?;
            }
            Ok(0)
        }
        Attribute::List => {
            let reply =
                session.ask(RequestBody::NodeAttributes { node: Some(node), name: None })?;
            let ReplyBody::Attributes(rows) = &reply else { return Err(unexpected(&reply)) };
            session.output.result(&reply, |width| render::attributes(rows, width))?;
            Ok(0)
        }
    }
}

fn get(
    node: &str,
    name: &str,
    lifetime: Option<LifetimeArg>,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let mut rows = found(node, name, lifetime, session)?;
    // As rules see it: the status comes before the configuration.
    rows.sort_by_key(|row| (row.value.is_none(), row.lifetime == AttributeLifetime::Forever));
    let value = rows.first().and_then(|row| row.value.clone()).unwrap_or_default();
    session.output.result(&ReplyBody::Attributes(rows), |_| format!("{value}\n"))?;
    Ok(0)
}

/// The attributes of that name, one at least.
fn found(
    node: &str,
    name: &str,
    lifetime: Option<LifetimeArg>,
    session: &Session<'_, '_>,
) -> Result<Vec<AttributeRow>, ApiError> {
    let (node, name) = (node.to_owned(), name.to_owned());
    let body = RequestBody::NodeAttributes { node: Some(node.clone()), name: Some(name.clone()) };
    let reply = session.ask(body)?;
    let ReplyBody::Attributes(mut rows) = reply else { return Err(unexpected(&reply)) };
    let wanted = lifetime.map(AttributeLifetime::from);
    rows.retain(|row| wanted.is_none_or(|wanted| row.lifetime == wanted));
    if rows.is_empty() {
        let message = format!("{node} has no attribute \"{name}\"");
        return Err(ApiError::new(Code::NoSuchObject, message)
            .remedy(format!("see what it has: haven node attribute {node} list")));
    }
    Ok(rows)
}
