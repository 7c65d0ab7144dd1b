//! Where configuration and status come from.

use std::io::Read;
use std::path::Path;

use haven_cib::Cib;
use haven_types::status::Status;

use crate::Args;

/// Configuration and status of the running cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The configuration.
    pub cib: Cib,
    /// The status.
    pub status: Status,
}

/// Asks the running cluster; the error says why there is no answer and what to do.
pub type Live<'a> = &'a dyn Fn() -> Result<Snapshot, String>;

/// Reads what the options name.
pub(crate) fn read(args: &Args, live: Option<Live<'_>>) -> Result<Snapshot, String> {
    if args.live_check {
        let ask = live.ok_or("this program cannot ask a running cluster; name a file")?;
        return ask();
    }
    let file = args.xml_file.as_deref().filter(|f| *f != Path::new("-"));
    let (name, bytes) = match file {
        Some(file) => (file.display().to_string(), std::fs::read(file)),
        None => ("standard input".to_owned(), from_standard_input()),
    };
    let bytes = bytes.map_err(|e| format!("cannot read {name}: {e}"))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        format!("{name}: no UTF-8 text from byte {} on", e.utf8_error().valid_up_to())
    })?;
    let (cib, status) = Cib::from_xml(&text).map_err(|e| format!("{name}: {e}"))?;
    Ok(Snapshot { cib, status })
}

fn from_standard_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
