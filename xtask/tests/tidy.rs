//! The tree is tidy, and tidy sees what it should see.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A small tree that is tidy: one pure crate, `cluster/lease`.
fn tidy_tree() -> TempDir {
    let tree = TempDir::new().unwrap();
    write(
        tree.path(),
        "cluster/lease/Cargo.toml",
        "[package]\nname = \"haven-lease\"\n[dependencies]\nhaven-base.workspace = true\n\
         [lints]\nworkspace = true\n",
    );
    write(tree.path(), "cluster/lease/src/lib.rs", "mod promise;\n");
    write(tree.path(), "cluster/lease/src/promise.rs", "fn promise() {}\n");
    xtask::tidy::fix(tree.path()).unwrap();
    tree
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn complaints(root: &Path) -> Vec<String> {
    xtask::tidy::tidy(root).unwrap().iter().map(ToString::to_string).collect()
}

/// Writes `text` to `path` in a tidy tree and expects exactly one complaint with `expected` in it.
#[track_caller]
fn expect_one(path: &str, text: &str, expected: &str) {
    let tree = tidy_tree();
    write(tree.path(), path, text);
    let found = complaints(tree.path());
    assert!(
        found.len() == 1 && found[0].starts_with(path) && found[0].contains(expected),
        "{path}: expected one complaint with {expected:?}, found {found:#?}"
    );
}

#[test]
fn this_tree_is_tidy() {
    let found = complaints(&xtask::root());
    assert!(found.is_empty(), "run `cargo xtask tidy`:\n{}", found.join("\n"));
}

#[test]
fn every_spec_tag_of_this_tree_can_be_read() {
    let table = xtask::spec::table(&xtask::sources::read(&xtask::root()).unwrap());
    assert!(table.complaints.is_empty(), "{:#?}", table.complaints);
}

#[test]
fn a_test_that_only_prints_that_it_is_skipped_is_a_complaint() {
    let text = format!("fn f() {{ print(\"{}\") }}\n", concat!("skipped", ", because"));
    expect_one("cluster/lease/src/promise.rs", &text, "haven_skipped::skip");
    let tree = tidy_tree();
    write(tree.path(), "tests/skipped/src/lib.rs", &text);
    let said = complaints(tree.path());
    assert!(!said.iter().any(|complaint| complaint.contains("haven_skipped")), "{said:?}");
}

#[test]
fn a_small_tidy_tree_has_no_complaints() {
    assert_eq!(complaints(tidy_tree().path()), Vec::<String>::new());
}

#[test]
fn an_import_against_the_arrows_is_found() {
    let manifest = |dependency: &str| {
        format!(
            "[package]\nname = \"haven-lease\"\n[dependencies]\n{dependency}\n[lints]\nworkspace = true\n"
        )
    };
    let path = "cluster/lease/Cargo.toml";
    expect_one(path, &manifest("haven-policy.workspace = true"), "may not import haven-policy");
    expect_one(path, &manifest("tokio.workspace = true"), "is pure and may not use tokio");
    expect_one(path, &manifest("serde = \"1\""), "declare it once");
}

#[test]
fn a_crate_without_lints_or_place_is_found() {
    let path = "cluster/lease/Cargo.toml";
    expect_one(path, "[package]\nname = \"haven-lease\"\n", "does not inherit the lints");
    let lints = "[lints]\nworkspace = true\n";
    expect_one(
        "cluster/utils/Cargo.toml",
        &format!("[package]\nname = \"haven-utils\"\n{lints}"),
        "haven-utils is not in xtask/src/layout.rs",
    );
}

#[test]
fn a_changed_clippy_file_is_found_and_fixed() {
    expect_one("cluster/lease/clippy.toml", "msrv = \"1.0\"\n", "run `cargo xtask tidy --fix`");
    expect_one("host/clippy.toml", "msrv = \"1.0\"\n", "only pure crates");
    let tree = tidy_tree();
    write(tree.path(), "cluster/lease/clippy.toml", "");
    assert_eq!(xtask::tidy::fix(tree.path()).unwrap(), 1);
    assert_eq!(xtask::tidy::fix(tree.path()).unwrap(), 0, "nothing left to fix");
    assert_eq!(complaints(tree.path()), Vec::<String>::new());
}

#[test]
fn leftovers_are_found() {
    let path = "cluster/lease/src/promise.rs";
    for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimple", "mented!")] {
        expect_one(path, &format!("// {mark}: later\n"), "left behind");
    }
    expect_one(
        path,
        &format!("{}\nfn test() {{}}\n", concat!("#[igno", "re]")),
        "ignored test says why",
    );
    expect_one(path, &"\n".repeat(901), "901 lines");
    expect_one("README.md", concat!("see /wo", "rk/notes\n"), "one machine only");
    expect_one(path, concat!("#![allow(unsafe", "_code)]\n"), "unsafe code lives in host");
}

#[test]
fn words_that_only_contain_a_mark_are_fine() {
    let tree = tidy_tree();
    let text = concat!("// TO", "DOs and MASTO", "DON are words; so is target/wo", "rk/x\n");
    write(tree.path(), "cluster/lease/src/promise.rs", text);
    assert_eq!(complaints(tree.path()), Vec::<String>::new());
}

#[test]
fn a_blind_sleep_in_a_test_is_found_and_a_paced_one_is_not() {
    let call = concat!("std::thread::sle", "ep(D);");
    let test = "cluster/lease/tests/slow.rs";
    expect_one(test, &format!("fn test() {{ {call} }}\n"), "wait for the event");
    let tree = tidy_tree();
    let paced =
        format!("fn test() {{\n    // paced: the kernel's timer is the subject\n    {call}\n}}\n");
    write(tree.path(), test, &paced);
    write(tree.path(), "cluster/lease/src/promise.rs", &format!("fn shell() {{ {call} }}\n"));
    assert_eq!(complaints(tree.path()), Vec::<String>::new(), "code before the tests may sleep");
    write(
        tree.path(),
        test,
        &format!("fn test() {{\n    while !ready() {{\n        {call}\n    }}\n}}\n"),
    );
    assert_eq!(complaints(tree.path()), Vec::<String>::new(), "a loop waits for a condition");
}

#[test]
fn a_clause_of_the_lease_is_taken_away_in_tests_only() {
    let line = concat!("fn rules() { Rules::ALL.with", "out(Rule::NeedMajority); }\n");
    expect_one("cluster/lease/src/promise.rs", line, "only tests may take one away");
    let tree = tidy_tree();
    write(tree.path(), "cluster/lease/tests/mutants.rs", line);
    assert_eq!(complaints(tree.path()), Vec::<String>::new());
}

#[test]
fn a_file_that_no_mod_line_reaches_is_found() {
    expect_one("cluster/lease/src/forgotten.rs", "fn lost() {}\n", "it is dead");
    let tree = tidy_tree();
    write(tree.path(), "cluster/lease/src/lib.rs", "mod promise;\npub(crate) mod nested;\n");
    write(tree.path(), "cluster/lease/src/nested.rs", "mod deep;\n#[path = \"odd.rs\"]\nmod x;\n");
    write(tree.path(), "cluster/lease/src/nested/deep.rs", "");
    write(tree.path(), "cluster/lease/src/odd.rs", "");
    assert_eq!(complaints(tree.path()), Vec::<String>::new());
}

#[test]
fn a_promise_must_name_a_test_that_exists() {
    let row = |cell: &str| format!("| promise | held by |\n|---|---|\n| one owner | {cell} |\n");
    let path = "SPECIFICATION.md";
    expect_one(path, &row("hope"), "names no test");
    expect_one(path, &row("`cluster/lease/src/gone.rs::promise`"), "there is no file");
    expect_one(path, &row("`cluster/lease/src/promise.rs::gone`"), "has no fn gone");
    let tree = tidy_tree();
    write(tree.path(), path, &row("`cluster/lease/src/promise.rs::promise`"));
    assert_eq!(complaints(tree.path()), Vec::<String>::new());
    write(tree.path(), path, &row("*unproved*: needs real hardware"));
    assert_eq!(complaints(tree.path()), Vec::<String>::new());
}

#[test]
fn a_promise_says_which_of_its_tests_the_usual_run_leaves_out() {
    let row = |cell: &str| format!("| promise | held by |\n|---|---|\n| one owner | {cell} |\n");
    let (path, test) = ("SPECIFICATION.md", "cluster/lease/src/promise.rs");
    let ignored = concat!("#[test]\n#[igno", "re = \"long\"]\n// spec: L1\n");
    let found = |text: &str, cell: &str| {
        let tree = tidy_tree();
        write(tree.path(), test, text);
        write(tree.path(), path, &row(cell));
        complaints(tree.path())
    };
    let (usual, left_out) = ("#[test]\nfn a() {}\n", &format!("{ignored}fn a() {{}}\n"));
    let plain = format!("`{test}::a`");
    let marked = format!("{plain} †, `{test}::a` †");
    assert_eq!(found(usual, &plain), [""; 0]);
    assert_eq!(found(left_out, &marked), [""; 0]);
    let missing = found(left_out, &plain);
    assert!(missing.len() == 1 && missing[0].contains("put † behind it"), "{missing:?}");
    let surplus = found(usual, &marked);
    assert!(surplus.len() == 2 && surplus[0].contains("each run has it"), "{surplus:?}");
    // The mark is that of one test, not of the row.
    let two = format!("{left_out}{}", usual.replace("fn a", "fn b"));
    assert_eq!(found(&two, &format!("{plain} †, `{test}::b`")), [""; 0]);
}

#[test]
fn messages_and_their_explanations_belong_together() {
    let list = "docs/operating/messages.md";
    expect_one(list, "| HV0001 | stale |\n", "explains HV0001, which nothing gives");
    let tree = tidy_tree();
    write(tree.path(), "cluster/lease/src/promise.rs", "const CODE: &str = \"HV0001\";\n");
    write(tree.path(), list, "none\n");
    let found = complaints(tree.path());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("promise.rs:1: gives HV0001"), "{found:#?}");
    write(tree.path(), list, "| HV0001 | a promise |\n");
    assert_eq!(complaints(tree.path()), Vec::<String>::new());
    // To speak of a message is not to give it.
    write(tree.path(), "cluster/lease/src/promise.rs", "/// See HV0001.\npub struct Promise;\n");
    let found = complaints(tree.path());
    assert!(
        found.iter().any(|it| it.contains("explains HV0001, which nothing gives")),
        "{found:#?}"
    );
}
