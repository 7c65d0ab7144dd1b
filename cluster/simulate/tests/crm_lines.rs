//! A configuration says the same in lines of the crm shell: what is decided for it as a document and
//! for it as lines is equal.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use haven_base::WallTime;
use haven_cib::{Cib, crm};
use haven_policy::{Options, schedule};

#[test]
fn lines_are_planned_as_the_document_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/policy");
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        cases += 1;
        let (cib, status) = Cib::from_xml(&fs::read_to_string(&path).unwrap()).unwrap();
        let lines = crm::show(&cib);
        let read = crm::load(&Cib::default(), &lines, crm::Mode::Replace);
        let read =
            read.unwrap_or_else(|findings| panic!("{}: {findings:#?}\n{lines}", path.display()));
        let now = status.recorded_at.map_or(WallTime::from_seconds(0), WallTime::from_seconds);
        let decide = |cib: &Cib| schedule(cib, &status, now, &Options::default());
        let (document, lines) = (decide(&cib), decide(&read.cib));
        assert_eq!(document.placements, lines.placements, "{}", path.display());
        assert_eq!(document.graph, lines.graph, "{}", path.display());
    }
    assert!(cases > 0, "there are no cases");
}
