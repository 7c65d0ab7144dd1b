//! A test that cannot run here says so, and why. The line also goes to the file that `HAVEN_SKIPPED` names, where
//! `./dev test` counts and lists what did not run: what a passing test prints nobody sees.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::panic::Location;

/// Says that `what`, a test or a part of one, cannot run here, because of `reason`.
///
/// # Panics
/// When the file that `HAVEN_SKIPPED` names cannot be written: nothing passes in silence.
pub fn skip(reason: &str, what: &str) {
    let line = line(reason, what);
    if let Some(path) = std::env::var_os("HAVEN_SKIPPED")
        && let Err(error) = append(&path, &line)
    {
        panic!("cannot write to {}, which HAVEN_SKIPPED names: {error}", path.display());
    }
    // A test whose terminal is gone has said it in the file.
    drop(io::stderr().write_all(line.as_bytes()));
}

/// The test under way, for guards that many tests share: its name, or the place of the call where it runs in the
/// main thread, which bears no test's name.
#[must_use]
#[track_caller]
pub fn this_test() -> String {
    let thread = std::thread::current();
    let name = thread.name().filter(|name| *name != "main");
    name.map_or_else(|| Location::caller().to_string(), str::to_owned)
}

fn line(reason: &str, what: &str) -> String {
    format!("skipped, because {reason}: {what}\n")
}

/// In one write, since tests of many processes append to one file.
fn append(path: &OsStr, line: &str) -> io::Result<()> {
    File::options().append(true).create(true).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_skipped_is_a_line_with_its_reason() {
        let path = std::env::temp_dir().join(format!("haven-skipped-{}", std::process::id()));
        for what in ["one", "another"] {
            append(path.as_os_str(), &line("it needs root", what)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let expected =
            "skipped, because it needs root: one\nskipped, because it needs root: another\n";
        assert_eq!(text, expected);
    }

    #[test]
    #[allow(
        clippy::redundant_closure,
        reason = "the place of a call, not of the thread's first line"
    )]
    fn a_test_is_known_by_its_name_and_a_thread_without_one_by_its_place() {
        let own = std::thread::Builder::new().name("tests::own".to_owned());
        assert_eq!(own.spawn(this_test).unwrap().join().unwrap(), "tests::own");
        let place = std::thread::spawn(|| this_test()).join().unwrap();
        assert!(place.contains("lib.rs:"), "{place}");
    }
}
