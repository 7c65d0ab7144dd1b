//! The schema that documents name.

use crate::crm::finding::Finding;
use crate::model::Cib;

/// The oldest schema whose meaning what is written has.
const OLDEST: &str = "pacemaker-4.0";

/// The configuration whose documents say that they are written for `name`.
///
/// # Errors
/// A finding where that is no schema, or an older one: documents of those are read, but what they mean is written in
/// the newest form.
pub fn with_schema(cib: &Cib, name: &str) -> Result<Cib, Vec<Finding>> {
    let number = |text: &str| text.parse::<u32>().ok();
    let numbers = name
        .strip_prefix("pacemaker-")
        .and_then(|rest| rest.split_once('.'))
        .and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    let refused = |message: String| {
        let remedy = format!("name {OLDEST} or a later one of that kind");
        Err(vec![Finding::error("HV0214", message).fix(remedy)])
    };
    match numbers {
        None => refused(format!("\"{name}\" is no schema")),
        Some((4, _)) => Ok(Cib { validate_with: Some(name.to_owned()), ..cib.clone() }),
        Some((major, _)) if major < 4 => refused(format!(
            "{name} is older than what is written: documents of it are read, and brought to the present meaning"
        )),
        Some(_) => refused(format!("{name} is not known")),
    }
}
