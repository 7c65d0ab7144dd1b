//! Fail counts.

use crate::world::{N, OpRef, R, World, values};

impl World<'_> {
    /// Fail count and time of the last failure of a resource on a node. `effective` leaves out
    /// what has expired, `launched` adds what the resource launched.
    pub(crate) fn fail_count(
        &mut self,
        n: N,
        r: R,
        effective: bool,
        launched: bool,
        op: Option<OpRef>,
    ) -> (i32, i64) {
        let (mut count, mut last) = self.recorded_failures(n, r);
        if count > 0 && self[r].failure_timeout_ms > 0 && self.blocks_failure(n, r, op) {
            self[r].failure_timeout_ms = 0;
        }
        let timeout = self[r].failure_timeout_ms;
        if effective
            && count > 0
            && last > 0
            && timeout > 0
            && self.now > last + values::seconds(timeout)
        {
            count = 0;
        }
        if launched && !self[r].launched.is_empty() && !self.is_bundled(r) {
            for l in self[r].launched.clone() {
                let (c, t) = self.fail_count(n, l, effective, launched, op);
                count = count.saturating_add(c);
                last = last.max(t);
            }
        }
        (count, if count > 0 { last.max(0) } else { 0 })
    }

    fn recorded_failures(&self, n: N, r: R) -> (i32, i64) {
        let rsc = &self[r];
        let name = rsc.history_id.as_deref().unwrap_or(&rsc.id);
        let name = if rsc.unique { name } else { values::strip_instance(name) };
        let (mut count, mut last) = (0, 0);
        for (prefix, is_count) in [("fail-count-", true), ("last-failure-", false)] {
            let from = format!("{prefix}{name}");
            for (key, value) in self[n].attrs.range(from.clone()..) {
                let Some(rest) = key.strip_prefix(&from) else { break };
                if !is_failure_suffix(rest, rsc.unique) {
                    continue;
                }
                if is_count {
                    if let Some(score) = self.score(value) {
                        count = values::add(count, score);
                    }
                } else if let Some(t) = values::int(value) {
                    last = last.max(t);
                }
            }
        }
        (count, last)
    }

    /// Whether the failure belongs to an operation with on-fail=block, which never expires.
    fn blocks_failure(&self, n: N, r: R, op: Option<OpRef>) -> bool {
        let name = values::strip_instance(&self[r].id).to_owned();
        let config = &self[r].config;
        config.ops.iter().filter(|o| o.attr("on-fail") == Some("block")).any(|o| {
            let matches = |op: OpRef| {
                let record = self.op(op);
                if u64::from(record.interval_ms) != o.interval_ms
                    || !record.operation.eq_ignore_ascii_case(&o.name)
                {
                    return false;
                }
                let key = format!("{name}_{}_{}", o.name, o.interval_ms);
                record.id.eq_ignore_ascii_case(&format!("{name}_last_failure_0"))
                    || (record.id.eq_ignore_ascii_case(&key)
                        && record.rc != self.target_rc(op).unwrap_or(-1))
            };
            match op {
                Some(op) => matches(op),
                None => self.operations_of(&self[n].name, &name).into_iter().any(|op| {
                    let record = self.op(op);
                    record.operation == o.name
                        && u64::from(record.interval_ms) == o.interval_ms
                        && matches(op)
                }),
            }
        })
    }

    /// All operations recorded for a resource on a node.
    pub(crate) fn operations_of(&self, node: &str, rsc: &str) -> Vec<OpRef> {
        let mut list = Vec::new();
        for (i, state) in self.status.nodes.iter().enumerate().filter(|(_, s)| s.uname == node) {
            for (j, entry) in state.resources.iter().enumerate().filter(|(_, e)| e.id == rsc) {
                list.extend((0..entry.operations.len()).map(|k| OpRef(i, j, k)));
            }
        }
        list
    }

    /// The result an operation should have had.
    pub(crate) fn target_rc(&self, op: OpRef) -> Option<i32> {
        let key = self.op(op).transition_key.as_deref()?;
        let mut parts = key.splitn(4, ':');
        let (_, _) = (parts.next()?, parts.next()?);
        let rc = parts.next()?.trim().parse().ok()?;
        parts.next().map(|_| rc)
    }

    /// Whether so many failures that the resource must leave the node; if so, what must.
    pub(crate) fn threshold_reached(&mut self, r: R, n: N) -> Option<R> {
        let threshold = self[r].migration_threshold;
        if threshold == 0 || self[r].ignore_failure {
            return None;
        }
        let (count, _) = self.fail_count(n, r, true, true, None);
        if count <= 0 || threshold - count > 0 {
            return None;
        }
        Some(if self[r].unique { r } else { self.top_of(r) })
    }
}

/// `#OPERATION_INTERVAL`, for anonymous instances with `:NUMBER` in front.
fn is_failure_suffix(rest: &str, unique: bool) -> bool {
    let rest = match rest.strip_prefix(':') {
        Some(r) if !unique => {
            let digits = r.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return false;
            }
            &r[digits..]
        }
        _ => rest,
    };
    rest.strip_prefix('#').and_then(|r| r.rsplit_once('_')).is_some_and(|(op, interval)| {
        !op.is_empty() && !interval.is_empty() && interval.bytes().all(|b| b.is_ascii_digit())
    })
}
