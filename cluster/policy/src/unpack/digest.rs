//! Digests of parameters: whether a resource runs with what is configured now.

use std::collections::BTreeMap;

use crate::rules::nvpair::{self, Rules};
use crate::world::{N, OpRef, R, World, values};

/// What comparing digests came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Unknown,
    Match,
    Mismatch,
    /// Parameters that need a restart have changed.
    Restart,
}

/// The digests of one operation on one node.
#[derive(Debug, Clone)]
pub(crate) struct Digest {
    pub(crate) verdict: Verdict,
    pub(crate) all: String,
    pub(crate) restart: Option<String>,
    /// The operation it was first computed for.
    op: Option<OpRef>,
}

impl Digest {
    const fn unknown() -> Self {
        Self { verdict: Verdict::Unknown, all: String::new(), restart: None, op: None }
    }
}

/// The feature set from which private parameters are hashed with the others.
const SECURE_WITH_ALL: &str = "3.16.0";

impl World<'_> {
    /// Compares an operation of the history with the present configuration.
    pub(crate) fn compare_digest(&mut self, r: R, op: OpRef, n: N) -> Verdict {
        let record = self.op(op);
        let restart_recorded = if self.reschedule.contains(&op) {
            Some("calculated-failure-timeout")
        } else {
            record.op_restart_digest.as_deref()
        };
        let interval = u64::from(record.interval_ms);
        let d = self.digest(r, &record.operation, interval, n, Some(op));
        let both = d.restart.as_deref().zip(restart_recorded);
        let verdict = if both.is_some_and(|(now, then)| now != then) {
            Verdict::Restart
        } else {
            match record.op_digest.as_deref() {
                None => Verdict::Unknown,
                Some(all) if all != d.all => {
                    if interval == 0 && d.verdict == Verdict::Restart {
                        Verdict::Restart
                    } else {
                        Verdict::Mismatch
                    }
                }
                Some(_) => Verdict::Match,
            }
        };
        d.verdict = verdict;
        verdict
    }

    /// Whether nothing has changed since the operation but what may have been masked.
    pub(crate) fn only_private_changed(&mut self, r: R, op: OpRef, n: N, verdict: Verdict) -> bool {
        if !self.sanitized || verdict == Verdict::Match {
            return false;
        }
        let record = self.op(op);
        let Some(then) = &record.op_secure_digest else { return false };
        let (task, interval) = (record.operation.as_str(), u64::from(record.interval_ms));
        let first = self.digest(r, task, interval, n, Some(op)).op;
        let (all, _) = self.all_params(r, task, interval, n);
        self.secure_digest(r, n, &all, first) == *then
    }

    /// The digests of an operation as configured now; computed once.
    fn digest(&mut self, r: R, task: &str, interval: u64, n: N, op: Option<OpRef>) -> &mut Digest {
        let key = (n, task.to_owned(), interval);
        if !self[r].digests.contains_key(&key) {
            let (all, verdict) = self.all_params(r, task, interval, n);
            let restart = op.and_then(|op| self.restart_digest(op, &all));
            let d = Digest { verdict, all: sum(&all), restart, op };
            self[r].digests.insert(key.clone(), d);
        }
        self[r].digests.entry(key).or_insert_with(Digest::unknown)
    }

    fn all_params(
        &mut self,
        r: R,
        task: &str,
        interval: u64,
        n: N,
    ) -> (BTreeMap<String, String>, Verdict) {
        let params = self.params(r, Some(n));
        let mut all = (*params).clone();
        if let Some(name) = self.bundle_remote_name(r) {
            all.insert("addr".to_owned(), name);
        }
        let add = |all: &mut BTreeMap<String, String>, from: &BTreeMap<String, String>| {
            for (k, v) in from {
                all.entry(k.clone()).or_insert_with(|| v.clone());
            }
        };
        let mut verdict = Verdict::Match;
        let entry = self.op_config(r, task, interval, true);
        if let Some(i) = entry {
            let extra = self.op_params(r, i, n);
            if interval == 0 && !extra.is_empty() {
                verdict = Verdict::Restart;
            }
            add(&mut all, &extra);
        }
        all.retain(|k, _| counts(k));
        if interval > 0 {
            let meta = self.op_meta(r, Some(n), task, interval, entry);
            if let Some(t) = meta.get("timeout") {
                all.insert("CRM_meta_timeout".into(), t.clone());
            }
        }
        (all, verdict)
    }

    /// Parameters of an operation only.
    pub(crate) fn op_params(&mut self, r: R, entry: usize, n: N) -> BTreeMap<String, String> {
        let config = std::rc::Rc::clone(&self[r].config);
        let mut map = BTreeMap::new();
        let input = Rules {
            now: self.now,
            node_attrs: Some(&self.nodes[n.0 as usize].attrs),
            ..Rules::default()
        };
        let next = nvpair::unpack(&config.ops[entry].params, None, &input, &mut map);
        if let Some(t) = next {
            self.recheck(t);
        }
        map
    }

    fn restart_digest(&self, op: OpRef, all: &BTreeMap<String, String>) -> Option<String> {
        let record = self.op(op);
        if record.op_restart_digest.is_none() && !self.reschedule.contains(&op) {
            return None;
        }
        let Some(list) = &record.op_force_restart else { return Some(sum(all)) };
        let names: Vec<&str> = list.split(' ').collect();
        let kept = all.iter().filter(|(k, _)| names.contains(&k.as_str()));
        Some(sum(&kept.map(|(k, v)| (k.clone(), v.clone())).collect()))
    }

    fn secure_digest(
        &mut self,
        r: R,
        n: N,
        all: &BTreeMap<String, String>,
        op: Option<OpRef>,
    ) -> String {
        let (private, version) = match op.map(|op| self.op(op)) {
            None => (" passwd password user ", self.feature_set.as_ref()),
            Some(o) => {
                (o.op_secure_params.as_deref().unwrap_or_default(), o.crm_feature_set.as_ref())
            }
        };
        let private: Vec<&str> = private.split(' ').collect();
        let version = version.cloned().unwrap_or_else(|| SECURE_WITH_ALL.into());
        let old = values::compare_versions(&version, SECURE_WITH_ALL).is_lt();
        let mut params = if old { (*self.params(r, Some(n))).clone() } else { all.clone() };
        let is_fencing =
            self[r].config.class.as_deref().is_some_and(|c| c.eq_ignore_ascii_case("stonith"));
        params.retain(|k, _| {
            !private.contains(&k.as_str())
                && counts(k)
                && !(old && is_fencing && (k.starts_with("pcmk_") || k == "provides"))
        });
        sum(&params)
    }

    /// Whether a node was unfenced with a device's present parameters, and the two digests.
    pub(crate) fn fencing_digest(&mut self, r: R, agent: &str, n: N) -> (Verdict, String, String) {
        let digest = self.digest(r, "stonith-on", 0, n, None).all.clone();
        let (all, _) = self.all_params(r, "stonith-on", 0, n);
        let secure = self.secure_digest(r, n, &all, None);
        let id = self[r].id.clone();
        let recorded = |w: &Self, attr: &str, digest: &str| {
            w[n].attrs.get(attr).map(|v| v.contains(&format!("{id}:{agent}:{digest}")))
        };
        let verdict = match recorded(self, "#digests-all", &digest) {
            None => Verdict::Unknown,
            Some(true) => Verdict::Match,
            Some(false) if recorded(self, "#digests-secure", &secure) == Some(true) => {
                Verdict::Match
            }
            Some(false) => Verdict::Mismatch,
        };
        (verdict, digest, secure)
    }
}

/// Parameters that take part in digests.
/// The digest that belongs into the history of an operation (`op-digest`), so that a later change of
/// its parameters is noticed. `timeout_ms` counts for recurring operations only.
#[must_use]
pub fn operation_digest(
    params: &BTreeMap<String, String>,
    interval_ms: u64,
    timeout_ms: Option<&str>,
) -> String {
    let mut all = params.clone();
    all.retain(|name, _| counts(name));
    if let Some(timeout) = timeout_ms.filter(|_| interval_ms > 0) {
        all.insert("CRM_meta_timeout".to_owned(), timeout.to_owned());
    }
    sum(&all)
}

fn counts(name: &str) -> bool {
    const NOT: [&str; 6] =
        ["id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip"];
    !name.starts_with("CRM_meta_") && !NOT.contains(&name)
}

fn sum(params: &BTreeMap<String, String>) -> String {
    let mut text = " <parameters".to_owned();
    for (k, v) in params {
        text.push(' ');
        text.push_str(k);
        text.push_str("=\"");
        haven_cib::xml::escape_into(&mut text, v);
        text.push('"');
    }
    text.push_str("/>\n");
    super::md5::hex(&text)
}
