//! Words and numbers as configurations write them.

use std::cmp::Ordering;

pub(crate) use haven_cib::boolean;

/// More than any sum of scores.
pub(crate) const INFINITY: i32 = 1_000_000;

/// Adds two scores; −INFINITY wins over everything, then INFINITY.
pub(crate) fn add(a: i32, b: i32) -> i32 {
    if a <= -INFINITY || b <= -INFINITY {
        return -INFINITY;
    }
    if a >= INFINITY || b >= INFINITY {
        return INFINITY;
    }
    (a + b).clamp(-INFINITY, INFINITY)
}

/// A score as people read it.
pub(crate) fn readable(score: i32) -> String {
    if score >= INFINITY {
        "INFINITY".into()
    } else if score <= -INFINITY {
        "-INFINITY".into()
    } else {
        score.to_string()
    }
}

/// The integer at the start of a text, and what follows it. Too large ones are clipped.
pub(crate) fn scan(text: &str) -> Option<(i64, &str)> {
    let t = text.trim_start();
    let digits_from = usize::from(t.starts_with('-') || t.starts_with('+'));
    let end = t[digits_from..]
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .map_or(t.len(), |p| p + digits_from);
    if end == digits_from {
        return None;
    }
    let number = t[..end].strip_prefix('+').unwrap_or(&t[..end]);
    let clipped = if t.starts_with('-') { i64::MIN } else { i64::MAX };
    Some((number.parse().unwrap_or(clipped), &t[end..]))
}

/// The integer at the start of a text.
pub(crate) fn int(text: &str) -> Option<i64> {
    scan(text).map(|(v, _)| v)
}

/// An integer of at least `minimum` and at most 2³¹−1; `minimum` where there is none.
pub(crate) fn min_int(text: Option<&str>, minimum: i32) -> i32 {
    let v = text.and_then(int).unwrap_or_else(|| i64::from(minimum));
    i32::try_from(v.clamp(i64::from(minimum), i64::from(i32::MAX))).unwrap_or(minimum)
}

/// True only for a word that means yes.
pub(crate) fn is_true(text: Option<&str>) -> bool {
    text.and_then(boolean).unwrap_or(false)
}

/// A duration such as `10`, `10s`, `500ms`, `5min`, in milliseconds.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let (value, rest) = scan(text)?;
    let units = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
    let unit = units.to_ascii_lowercase();
    let (multiplier, divisor) = if unit.is_empty() || unit.starts_with('s') {
        (1000, 1)
    } else if unit.starts_with("ms") {
        (1, 1)
    } else if unit.starts_with("us") {
        (1, 1000)
    } else if unit.starts_with('m') {
        (60_000, 1)
    } else if unit.starts_with('h') {
        (3_600_000, 1)
    } else {
        return None;
    };
    Some(value.saturating_mul(multiplier) / divisor)
}

/// An interval, also an ISO 8601 period, in milliseconds; 0 where it cannot be read.
pub(crate) fn interval(text: Option<&str>) -> u64 {
    let Some(text) = text else { return 0 };
    let ms = if text.starts_with('P') {
        crate::rules::time::period_seconds(text).map(|s| s.saturating_mul(1000))
    } else {
        millis(text)
    };
    u64::try_from(ms.unwrap_or(0)).unwrap_or(0).min(u64::from(u32::MAX))
}

/// Milliseconds as whole seconds, rounded; at least 1 for anything above 0.
pub(crate) fn seconds(ms: u64) -> i64 {
    let s = match ms {
        0 => 0,
        1..1000 => 1,
        _ => ms / 1000 + u64::from(ms % 1000 >= 500),
    };
    i64::try_from(s).unwrap_or(i64::MAX)
}

/// An interval as people write it, such as `1m30s`.
pub(crate) fn readable_interval(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let mut rest = ms;
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)] {
        if rest >= size {
            text += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    match (rest / 1000, rest % 1000) {
        (0, 0) => {}
        (s, 0) => text += &format!("{s}s"),
        (0, ms) => text += &format!("{ms}ms"),
        (s, ms) => text += &format!("{s}.{ms:03}s"),
    }
    text
}

/// Compares names with the numbers in them as numbers, upper and lower case the same.
pub(crate) fn compare_names(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let len = |s: &[u8]| s.iter().position(|c| !c.is_ascii_digit()).unwrap_or(s.len());
            let (la, lb) = (len(a), len(b));
            let number = |s: &[u8]| {
                s.iter()
                    .fold(0_i64, |n, d| n.saturating_mul(10).saturating_add(i64::from(d - b'0')))
            };
            let order = number(&a[..la]).cmp(&number(&b[..lb])).then(la.cmp(&lb));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[la..], &b[lb..]);
        } else {
            let order = x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[1..], &b[1..]);
        }
    }
    a.len().min(1).cmp(&b.len().min(1))
}

/// Compares dotted version numbers.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let parts = |s: &str| -> Vec<i64> {
        let t = s.trim_start();
        let end = t.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(t.len());
        t[..end].split('.').map_while(|p| p.parse().ok()).collect()
    };
    let (a, b) = (parts(a), parts(b));
    for i in 0..a.len().max(b.len()) {
        let order = a.get(i).unwrap_or(&0).cmp(b.get(i).unwrap_or(&0));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// An id without the instance number of a clone.
pub(crate) fn strip_instance(id: &str) -> &str {
    match id.rsplit_once(':') {
        Some((base, n)) if !base.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => base,
        _ => id,
    }
}
