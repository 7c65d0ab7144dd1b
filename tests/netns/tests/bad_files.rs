//! Every kind of damage to `haven.toml`, asked of the real program: it names the file, says all that is
//! wrong at once, and touches nothing. Needs neither root nor a network.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use haven_netns_tests::haven;

const GOOD: &str = "[cluster]\nname = \"demo\"\n[node]\nname = \"n1\"\n[[link]]\nnumber = 0\n\
                    local = \"127.0.0.1\"\n[paths]\nstate = \"DIR/state\"\nrun = \"DIR/run\"\n";

fn run(config: &Path, args: &[&str]) -> Output {
    Command::new(haven()).args(args).arg("--config").arg(config).output().unwrap()
}

/// What each command of a node says about this content, and that it left nothing behind.
fn said(content: Option<&[u8]>, code: i32) -> String {
    static CASES: AtomicUsize = AtomicUsize::new(0);
    let case = CASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("haven-bad-files-{}-{case}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    drop(std::fs::remove_dir_all(&directory));
    std::fs::create_dir_all(&directory).unwrap();
    let config = directory.join("haven.toml");
    if let Some(content) = content {
        std::fs::write(&config, content).unwrap();
    }
    let mut texts = Vec::new();
    for args in [&["node", "run"][..], &["cluster", "init"], &["status"]] {
        let output = run(&config, args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(&config.display().to_string()), "{args:?} names no file: {text}");
        assert!(!text.contains("panicked"), "{text}");
        texts.push(text);
    }
    let left = std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(left, usize::from(content.is_some()), "something was made");
    std::fs::remove_dir_all(&directory).unwrap();
    texts.remove(0)
}

#[test]
fn a_missing_file_says_how_to_name_or_make_one() {
    let text = said(None, 78);
    assert!(text.contains("--config FILE"), "{text}");
}

#[test]
fn what_is_no_text_is_said_to_be_none() {
    let text = said(Some(&[0xff, 0xfe, 0, b'[', 0xc3, 0x28]), 78);
    assert!(text.contains("not text"), "{text}");
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    for (content, line) in [
        ("[cluster]\nname = \n", "line 2"),
        ("[cluster]\nname = \"a\"\n[cluster]\n", "line 3"),
        ("\u{0}", "line 1"),
        ("<cib/>", "line 1"),
        ("[cluster]\nname = \"open\n", "line 2"),
    ] {
        let text = said(Some(content.as_bytes()), 78);
        assert!(text.contains(line) && text.contains("not TOML"), "{content:?}: {text}");
    }
    let text = said(Some(&b"x = [".repeat(20_000)), 78);
    assert!(text.len() < 4_000, "{} bytes about one mistake", text.len());
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_nothing_is_changed() {
    let content = "[cluster]\nname = \"a b\"\n[node]\nname = 7\n[[link]]\nnumber = 9\n\
                   local = \"0.0.0.0\"\nprot = 5\n[[link]]\nnumber = 1\nlocal = \"fe80::1\"\n\
                   device = \"a/b\"\n[chanel]\nlisten = \"x\"\n[paths]\nstate = \"rel\"\n\
                   run = \"rel\"\n[log]\nlevel = \"loud\"\n[gate]\nbackend = \"iptables\"\n";
    let text = said(Some(content.as_bytes()), 78);
    for expected in [
        "line 2, [cluster] name: cannot use the name \"a b\"",
        "line 4, [node] name: found integer",
        "line 6, [[link]] number",
        "line 7, [[link]] local: found \"0.0.0.0\"",
        "line 8, [link] prot: unknown key; did you mean \"port\"?",
        "line 11, [[link]] local: fe80::1 is link-local",
        "line 12, [[link]] device",
        "line 13, [chanel]: unknown section; did you mean \"channel\"?",
        "line 16, [paths] state",
        "line 17, [paths] run",
        "line 19, [log] level",
        "line 21, [gate] backend",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(text.contains("nothing was changed"), "{text}");
}

#[test]
fn contradictions_are_refused() {
    for (from, to, says) in [
        ("DIR/run", "DIR/state", "state and run are the same directory"),
        ("[paths]", "[[link]]\nnumber = 0\nlocal = \"127.0.0.2\"\n[paths]", "given twice"),
        ("[paths]", "[[link]]\nnumber = 1\nlocal = \"127.0.0.1\"\n[paths]", "used by two links"),
        ("\"127.0.0.1\"", "\"localhost\"", "expected an IPv4 or IPv6 address"),
        ("[paths]", "[channel]\nlisten = \"10.0.0.1\"\n[paths]", "expected ADDRESS:PORT"),
    ] {
        let content = GOOD.replace(from, to).replace("DIR", "/nonexistent");
        let text = said(Some(content.as_bytes()), 78);
        assert!(text.contains(says), "{says}\n{text}");
    }
}

#[test]
fn a_directory_is_no_file() {
    let directory = std::env::temp_dir().join(format!("haven-dir-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let output = run(&directory, &["node", "run"]);
    std::fs::remove_dir(&directory).unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("is a directory") || text.contains("Is a directory"), "{text}");
}
