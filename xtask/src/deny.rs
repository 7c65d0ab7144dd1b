//! Licences, sources and banned crates, as deny.toml lists them, for machines without cargo-deny.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::Complaint;

#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    sources: Sources,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A package as `cargo metadata` describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its SPDX expression.
    pub license: Option<String>,
    /// Where it comes from; none for this workspace.
    pub source: Option<String>,
}

/// Checks every package of the lock file against `deny.toml`.
///
/// # Errors
/// When `deny.toml` or the metadata cannot be read.
pub fn check(root: &Path) -> Result<Vec<Complaint>> {
    let path = root.join("deny.toml");
    let policy = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
        .arg("x86_64-unknown-linux-gnu")
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read cargo's metadata")?;
    judge(&policy, &metadata.packages)
}

/// Judges packages by the text of a `deny.toml`.
///
/// # Errors
/// When the text is not the expected TOML.
pub fn judge(policy: &str, packages: &[Package]) -> Result<Vec<Complaint>> {
    let policy: Policy = toml::from_str(policy).context("deny.toml is not as expected")?;
    let allowed: BTreeSet<&str> = policy.licenses.allow.iter().map(String::as_str).collect();
    let banned: BTreeMap<&str, &str> = policy
        .bans
        .deny
        .iter()
        .map(|ban| (ban.name.as_str(), ban.reason.as_deref().unwrap_or("deny.toml bans it")))
        .collect();
    let mut found = Vec::new();
    for package in packages {
        let Some(source) = &package.source else { continue };
        let name = format!("{} {}", package.name, package.version);
        let mut complain = |text: String| found.push(Complaint::file("Cargo.lock", text));
        let registry = source.strip_prefix("registry+").unwrap_or(source);
        if !policy.sources.allow_registry.iter().any(|allowed| allowed == registry) {
            complain(format!("{name} comes from {source}, which deny.toml does not allow"));
        }
        if let Some(reason) = banned.get(package.name.as_str()) {
            complain(format!("{name} is banned: {reason}"));
        }
        match &package.license {
            None => complain(format!("{name} names no licence")),
            Some(license) if !satisfied(license, &allowed) => {
                complain(format!("{name} is under {license}, which deny.toml does not allow"));
            }
            Some(_) => {}
        }
    }
    Ok(found)
}

/// Whether an SPDX expression can be met by allowed licences alone. `AND` binds tighter than `OR`;
/// the old notation `A/B` means `A OR B`.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = either(&mut rest, allowed);
    met && rest.is_empty()
}

fn either(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut met = both(words, allowed);
    while let Some((&"OR", rest)) = words.split_first() {
        *words = rest;
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, allowed);
    while let Some((&"AND", rest)) = words.split_first() {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let met = either(words, allowed);
        return match words.split_first() {
            Some((&")", rest)) => {
                *words = rest;
                met
            }
            _ => false,
        };
    }
    let mut license = (*first).to_owned();
    if let [with @ "WITH", exception, rest @ ..] = *words {
        license = format!("{license} {with} {exception}");
        *words = rest;
    }
    allowed.contains(license.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        [sources]
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
        [bans]
        deny = [{ crate = "bincode", reason = "unmaintained" }]
    "#;

    fn package(name: &str, license: &str, source: &str) -> Package {
        Package {
            name: name.into(),
            version: "1.0.0".into(),
            license: Some(license.into()),
            source: Some(source.into()),
        }
    }

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    #[test]
    fn expressions_follow_the_rules_of_spdx() {
        let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
        for good in [
            "MIT",
            "MIT/GPL-3.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND Apache-2.0",
            "MIT AND Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT )", "MIT WITH x", "OR MIT"] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn licences_sources_and_bans_are_judged() -> Result<()> {
        let fine = judge(POLICY, &[package("serde", "MIT OR Apache-2.0", CRATES_IO)])?;
        assert!(fine.is_empty(), "{fine:?}");
        let bad = judge(
            POLICY,
            &[
                package("bincode", "MIT", CRATES_IO),
                package("copyleft", "AGPL-3.0", CRATES_IO),
                package("fork", "MIT", "git+https://example.org/fork"),
            ],
        )?;
        let texts: Vec<String> = bad.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].contains("unmaintained") && texts[1].contains("AGPL-3.0"));
        assert!(texts[2].contains("git+https://example.org/fork"));
        Ok(())
    }
}
