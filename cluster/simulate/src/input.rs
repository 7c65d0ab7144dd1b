//! Where configuration and status come from.

use std::io::Read;
use std::path::Path;

use haven_cib::{Cib, CibError, CloneChild, NvPair, NvSet, Primitive, Resource};
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

impl Snapshot {
    /// Reads what a daemon answers when it is asked what it plans with.
    ///
    /// # Errors
    /// Where the text is no CIB.
    pub fn of_document(text: &str) -> Result<Self, String> {
        let read = Cib::from_xml_lenient(text);
        let (cib, mut status, _) = read.map_err(|e| format!("the daemon: {e}"))?;
        // It is of now, not of then.
        status.recorded_at = None;
        Ok(Self { cib, status })
    }

    /// Says `requires=quorum` where `requires=lease` stands, as Pacemaker knows no leases; how
    /// often.
    pub(crate) fn without_leases(&mut self) -> usize {
        let sets = self.cib.rsc_defaults.iter_mut();
        let templates = self.cib.templates.iter_mut().flat_map(|t| &mut t.meta);
        let mut count = sets.chain(templates).map(no_lease).sum();
        for r in &mut self.cib.resources {
            count += r.meta_mut().iter_mut().map(no_lease).sum::<usize>();
            let parts: Vec<&mut Primitive> = match r {
                Resource::Primitive(_) => Vec::new(),
                Resource::Group(g) => g.members.iter_mut().collect(),
                Resource::Bundle(b) => b.primitive.iter_mut().collect(),
                Resource::Clone(c) => match &mut *c.child {
                    CloneChild::Primitive(p) => vec![p],
                    CloneChild::Group(g) => {
                        count += g.meta.iter_mut().map(no_lease).sum::<usize>();
                        g.members.iter_mut().collect()
                    }
                },
            };
            count += parts.into_iter().flat_map(|p| &mut p.meta).map(no_lease).sum::<usize>();
        }
        count
    }
}

fn no_lease(set: &mut NvSet) -> usize {
    let lease = |p: &&mut NvPair| p.name == "requires" && p.value.as_deref() == Some("lease");
    let pairs = set.pairs.iter_mut().filter(lease);
    pairs.map(|p| p.value = Some("quorum".to_owned())).count()
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
    let (cib, status) = document(&text, args.lenient).map_err(|e| format!("{name}: {e}"))?;
    Ok(Snapshot { cib, status })
}

/// Reads a saved document, which may have things in it that no schema knows if it names no schema, or if that is wanted.
pub(crate) fn document(text: &str, lenient: bool) -> Result<(Cib, Status), CibError> {
    if lenient {
        return Cib::from_xml_lenient(text).map(|(cib, status, _)| (cib, status));
    }
    Cib::from_xml_as_named(text)
}

fn from_standard_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
