//! The first screen for given clusters: each `golden/status/NAME.json` is rendered wide and narrow and
//! compared with the files beside it. `BLESS=1` rewrites them.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use haven_api::Status;

const WIDTHS: [(&str, usize); 2] = [("wide", 120), ("narrow", 48)];

#[test]
fn the_first_screen_is_as_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/status");
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let cases = cases(&folder);
    assert!(cases.len() >= 4, "cases are missing from {}", folder.display());
    for case in cases {
        let mut status: Status = serde_json::from_slice(&fs::read(&case).unwrap()).unwrap();
        status.judge();
        for (name, width) in WIDTHS {
            let expected_file = case.with_extension(format!("{name}.txt"));
            let shown = haven_cli::render::status(&status, width);
            if bless {
                fs::write(&expected_file, &shown).unwrap();
            }
            let expected = fs::read_to_string(&expected_file).unwrap_or_default();
            if shown != expected {
                wrong.push(format!("{}:\n{shown}", expected_file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "BLESS=1 accepts what is now shown:\n{}", wrong.join("\n"));
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    cases.sort();
    cases
}
