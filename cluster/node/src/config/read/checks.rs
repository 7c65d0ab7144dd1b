//! `[[check]]`: what the node asks about its surroundings.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::{Reader, tables};
use crate::config::{CheckConfig, CheckKind, HttpTarget, MAX_CHECKS, MAX_TARGETS};

const KINDS: &str = "ping, router, disk, dns, http or script";

impl Reader<'_> {
    pub(super) fn checks(&mut self, root: &DeTable<'_>) -> Vec<CheckConfig> {
        let found = root.get("check").map(tables).unwrap_or_default();
        self.bound("[[check]]", &found, MAX_CHECKS);
        let mut checks: Vec<CheckConfig> = Vec::new();
        for (head, table) in found.into_iter().take(MAX_CHECKS) {
            self.within = Some(head);
            let Some(check) = self.check(table) else { continue };
            if checks.iter().any(|other| other.attribute == check.attribute) {
                let message = format!("{} is set by two checks", check.attribute);
                self.find(None, "[[check]] attribute", message);
            }
            checks.push(check);
        }
        self.within = None;
        checks
    }

    fn check(&mut self, table: &DeTable<'_>) -> Option<CheckConfig> {
        let name = self.text(table, "name")?;
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(usable) {
            let message = format!("found {name:?}, expected letters, digits, '-', '_' or '.'");
            self.find(None, "[[check]] name", message);
            return None;
        }
        let kind = self.kind(table)?;
        let prefix = match kind {
            CheckKind::Disk { .. } | CheckKind::Script(_) => "check",
            CheckKind::Ping(_) | CheckKind::Router | CheckKind::Dns(_) | CheckKind::Http(_) => {
                "reach"
            }
        };
        let attribute = self.optional(table, "attribute");
        let check = CheckConfig {
            attribute: attribute.unwrap_or_else(|| format!("{prefix}-{name}")),
            interval: self.period(table, "interval", Duration::from_secs(10)),
            timeout: self.period(table, "timeout", Duration::from_secs(2)),
            delay: self.period(table, "delay", Duration::from_secs(5)),
            failures: self.count(table, "failures", 3, 100),
            successes: self.count(table, "successes", 1, 100),
            multiplier: self.count(table, "multiplier", 1, 1_000_000),
            good: self.optional(table, "good"),
            bad: self.optional(table, "bad"),
            name,
            kind,
        };
        let short = check.interval < Duration::from_millis(100) || check.timeout.is_zero();
        if short {
            let message = "interval is 100 ms at least, and timeout is not 0";
            self.find(None, "[[check]]", message);
        }
        if check.good.is_some() != check.bad.is_some() {
            let message = "good and bad go together, such as good = \"green\", bad = \"red\"";
            self.find(None, "[[check]]", message);
        }
        Some(check)
    }

    fn kind(&mut self, table: &DeTable<'_>) -> Option<CheckKind> {
        let word = self.text(table, "kind")?;
        match word.as_str() {
            "router" => Some(CheckKind::Router),
            "ping" => self.targets(table).map(CheckKind::Ping),
            "disk" => {
                let path = PathBuf::from(self.text(table, "path")?);
                let free_percent = self.count(table, "free_percent", 5, 100);
                Some(CheckKind::Disk { path, free_percent })
            }
            "dns" => self.text(table, "target").map(CheckKind::Dns),
            "http" => {
                let text = self.text(table, "target")?;
                let target = HttpTarget::read(&text);
                if target.is_none() {
                    let message =
                        format!("found {text:?}, expected http://HOST[:PORT]/PATH (no https)");
                    self.find(None, "[[check]] target", message);
                }
                target.map(CheckKind::Http)
            }
            "script" => {
                let path = PathBuf::from(self.text(table, "path")?);
                if !path.is_absolute() {
                    self.find(None, "[[check]] path", "expected an absolute path");
                    return None;
                }
                Some(CheckKind::Script(path))
            }
            other => {
                let span = table.get("kind").map(toml::Spanned::span);
                let message = format!("found {other:?}, expected {KINDS}");
                self.find(span.as_ref(), "[[check]] kind", message);
                None
            }
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "any other kind of value is the same mistake"
    )]
    fn targets(&mut self, table: &DeTable<'_>) -> Option<Vec<IpAddr>> {
        let object = "[[check]] targets";
        let list = match table.get("targets").map(toml::Spanned::get_ref) {
            Some(DeValue::Array(list)) if !list.is_empty() && list.len() <= MAX_TARGETS => list,
            _ => {
                let message =
                    format!("expected a list of 1 to {MAX_TARGETS} addresses: [\"192.0.2.1\"]");
                self.find(None, object, message);
                return None;
            }
        };
        let mut targets = Vec::new();
        for value in list {
            let text = self.string(value, object)?;
            match text.parse() {
                Ok(address) => targets.push(address),
                Err(_) => {
                    let message = format!("found {text:?}, expected an address");
                    self.find(Some(&value.span()), object, message);
                    return None;
                }
            }
        }
        Some(targets)
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let object = format!("[[check]] {key}");
        match table.get(key) {
            Some(value) => self.string(value, &object),
            None => {
                self.find(None, &object, format!("missing; {key} = \"…\""));
                None
            }
        }
    }

    fn optional(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let value = table.get(key)?;
        self.string(value, &format!("[[check]] {key}"))
    }

    fn period(&mut self, table: &DeTable<'_>, key: &str, default: Duration) -> Duration {
        let Some(text) = self.optional(table, key) else { return default };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let millis = match unit.trim() {
            "ms" => Some(1),
            "s" => Some(1_000),
            "min" => Some(60_000),
            _ => None,
        };
        let number = number.parse::<u64>().ok().filter(|number| *number <= 3_600_000);
        let Some(period) = number.zip(millis).map(|(n, per)| Duration::from_millis(n * per)) else {
            let message =
                format!("found {text:?}, expected such as \"500ms\", \"10s\" or \"1min\"");
            self.find(None, &format!("[[check]] {key}"), message);
            return default;
        };
        period
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "any other kind of value is the same mistake"
    )]
    fn count(&mut self, table: &DeTable<'_>, key: &str, default: u32, most: u32) -> u32 {
        let Some(value) = table.get(key) else { return default };
        let number = match value.get_ref() {
            DeValue::Integer(integer) => integer.as_str().parse::<u32>().ok(),
            _ => None,
        };
        number.filter(|number| (1..=most).contains(number)).unwrap_or_else(|| {
            let message = format!("expected a number from 1 to {most}");
            self.find(Some(&value.span()), &format!("[[check]] {key}"), message);
            default
        })
    }
}
