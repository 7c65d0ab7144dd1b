//! Operations as they are configured: meta attributes with their defaults, and what a failure leads to.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::rules::nvpair::{self, Rules};
use crate::world::action::{Needs, OnFail, OpMeta};
use crate::world::{N, R, Role, World, values};

/// Without a configured one.
const DEFAULT_TIMEOUT_MS: i64 = 20_000;

impl World<'_> {
    /// The configured operation of this name and interval; `all` finds disabled ones, too.
    pub(crate) fn op_config(&self, r: R, task: &str, interval: u64, all: bool) -> Option<usize> {
        let ops = &self[r].config.ops;
        let find = |name: &str, interval: u64| {
            ops.iter()
                .position(|o| o.name == name && o.interval_ms == interval && (all || o.enabled()))
        };
        find(task, interval).or_else(|| {
            matches!(task, "migrate_to" | "migrate_from").then(|| find("migrate", 0)).flatten()
        })
    }

    /// Meta attributes of an operation: own, defaults, timeout and delay worked out.
    pub(crate) fn op_meta(
        &mut self,
        r: R,
        n: Option<N>,
        task: &str,
        interval: u64,
        entry: Option<usize>,
    ) -> Rc<BTreeMap<String, String>> {
        let config = Rc::clone(&self[r].config);
        let is_fencing = config.class.as_deref().is_some_and(|c| c.eq_ignore_ascii_case("stonith"));
        // Operations that nothing is said about are alike for all resources, but for those that look at others.
        let alike = entry.is_none()
            && !matches!(task, "monitor" | "demote")
            && !nvpair::any_rule(&self.op_defaults);
        let owner = if alike { 0 } else { Rc::as_ptr(&config) as usize };
        let key = (owner, task.to_owned(), interval);
        if !is_fencing && let Some(m) = self.op_meta.get(&key).filter(|m| m.entry == entry) {
            return Rc::clone(&m.meta);
        }
        let mut meta = BTreeMap::new();
        let input = Rules {
            now: self.now,
            class: config.class.as_deref(),
            provider: config.provider.as_deref(),
            kind: config.kind.as_deref(),
            op_name: Some(task),
            op_interval_ms: interval,
            ..Rules::default()
        };
        let mut nexts = Vec::new();
        if let Some(o) = entry.map(|i| &config.ops[i]) {
            nexts.push(nvpair::unpack(&o.meta, None, &input, &mut meta));
            for (k, v) in &o.attrs {
                meta.insert(k.clone(), v.clone());
            }
        }
        let probe = task == "monitor" && interval == 0;
        if probe && !meta.contains_key("timeout") {
            let monitors = config
                .ops
                .iter()
                .filter(|o| o.name == "monitor" && o.interval_ms > 0 && o.enabled());
            // Of those with the same interval the first.
            let shortest = monitors.min_by_key(|o| o.interval_ms);
            if let Some(t) = shortest.and_then(|o| o.attr("timeout")) {
                meta.insert("timeout".into(), t.to_owned());
            }
        }
        let defaults = std::mem::take(&mut self.op_defaults);
        nexts.push(nvpair::unpack(&defaults, None, &input, &mut meta));
        self.op_defaults = defaults;
        meta.remove("interval");
        if interval > 0 {
            meta.insert("interval".into(), interval.to_string());
        }
        if is_fencing && (task == "start" || probe) {
            let params = self.params(r, n);
            if let Some(t) = params.get("pcmk_monitor_timeout") {
                meta.insert("timeout".into(), t.clone());
            }
        }
        let timeout = meta
            .get("timeout")
            .and_then(|t| values::millis(t))
            .filter(|t| *t > 0)
            .unwrap_or(DEFAULT_TIMEOUT_MS)
            .min(i64::from(i32::MAX));
        meta.insert("timeout".into(), timeout.to_string());
        self.validate_on_fail(r, task, entry, &mut meta);
        self.start_delay(interval, &mut meta);
        for t in nexts.into_iter().flatten() {
            self.recheck(t);
        }
        // Most operations of most resources are configured alike.
        let meta = match self.op_metas.get(&meta) {
            Some(same) => Rc::clone(same),
            None => {
                let meta = Rc::new(meta);
                self.op_metas.insert(Rc::clone(&meta));
                meta
            }
        };
        if !is_fencing {
            self.op_meta.insert(key, OpMeta { meta: Rc::clone(&meta), entry });
        }
        meta
    }

    fn start_delay(&self, interval: u64, meta: &mut BTreeMap<String, String>) {
        if let Some(d) = meta.get("start-delay") {
            let ms = values::millis(d).unwrap_or(0).clamp(0, i64::from(i32::MAX));
            meta.insert("start-delay".into(), ms.to_string());
            return;
        }
        let origin =
            meta.get("interval-origin").and_then(|o| crate::rules::time::parse(o, self.now));
        let period = values::seconds(interval);
        if let Some(origin) = origin.filter(|_| period > 0) {
            let past = (self.now - origin) % period;
            let delay = if past <= 0 { -past } else { period - past };
            meta.insert("start-delay".into(), (delay * 1000).to_string());
        }
    }

    fn validate_on_fail(
        &self,
        r: R,
        task: &str,
        entry: Option<usize>,
        meta: &mut BTreeMap<String, String>,
    ) {
        let value = meta.get("on-fail").map(|v| v.to_ascii_lowercase());
        let is = |w: &str| value.as_deref() == Some(w);
        if task == "stop" && (is("standby") || is("demote") || is("stop")) {
            meta.remove("on-fail");
            return;
        }
        let config = &self[r].config;
        let promoted = |role: Option<&str>| role.is_some_and(|x| Role::parse(x) == Role::Promoted);
        if task == "demote" && value.is_none() {
            for o in &config.ops {
                if let Some(v) = o.attr("on-fail")
                    && o.name == "monitor"
                    && promoted(o.attr("role"))
                    && o.interval_ms > 0
                    && o.enabled()
                    && !v.eq_ignore_ascii_case("demote")
                {
                    meta.insert("on-fail".into(), v.to_owned());
                }
            }
            return;
        }
        if task == "lrm_delete" {
            meta.insert("on-fail".into(), "ignore".into());
            return;
        }
        if is("demote") {
            let o = entry.map(|i| &config.ops[i]);
            let fits = o.is_some_and(|o| {
                o.name == "promote"
                    || (o.interval_ms > 0 && o.name == "monitor" && promoted(o.attr("role")))
            });
            if !fits {
                meta.remove("on-fail");
            }
        }
    }

    pub(super) fn needs(&self, r: R, task: &str) -> Needs {
        if task != "start" && task != "promote" {
            Needs::Nothing
        } else if self[r].needs_fencing {
            Needs::Fencing
        } else if self[r].needs_quorum {
            Needs::Quorum
        } else {
            Needs::Nothing
        }
    }

    /// What a failure of an operation leads to.
    pub(crate) fn on_fail(&self, r: R, task: &str, interval: u64, value: Option<&str>) -> OnFail {
        let fencing = self.set.fencing;
        let mut chosen = match value.map(str::to_ascii_lowercase).as_deref() {
            Some("block") => Some(OnFail::Block),
            Some("fence") => Some(if fencing { OnFail::Fence } else { OnFail::Stop }),
            Some("standby") => Some(OnFail::Standby),
            Some("ignore" | "nothing") => Some(OnFail::Ignore),
            Some("migrate") => Some(OnFail::Ban),
            Some("stop") => Some(OnFail::Stop),
            Some("restart") => Some(OnFail::Restart),
            Some("restart-container") => {
                self[r].launcher.is_some().then_some(OnFail::RestartContainer)
            }
            Some("demote") => Some(OnFail::Demote),
            _ => None,
        };
        let probe = task == "monitor" && interval == 0;
        let connection = self[r].is_remote_connection
            && self.find_node(&self[r].id).is_some_and(|n| self.is_remote(n))
            && !probe
            && task != "start";
        if connection && !self[r].managed {
            chosen = None;
        }
        chosen.unwrap_or_else(|| {
            if self[r].launcher.is_some() {
                OnFail::RestartContainer
            } else if connection {
                if self[r].managed { OnFail::ResetRemote } else { OnFail::Stop }
            } else if task == "stop" {
                if fencing { OnFail::Fence } else { OnFail::Block }
            } else {
                OnFail::Restart
            }
        })
    }

    pub(crate) fn role_after_failure(&self, r: R, task: &str, on_fail: OnFail) -> Role {
        match on_fail {
            OnFail::Stop => Role::Stopped,
            OnFail::ResetRemote if self[r].reconnect_ms != 0 => Role::Stopped,
            _ if task == "promote" => Role::Unpromoted,
            OnFail::Ignore
            | OnFail::Demote
            | OnFail::Restart
            | OnFail::ResetRemote
            | OnFail::RestartContainer
            | OnFail::Ban
            | OnFail::Block
            | OnFail::Standby
            | OnFail::Fence => Role::Started,
        }
    }
}
