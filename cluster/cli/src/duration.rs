//! Durations as people write and read them.

use std::time::Duration;

/// Reads `10`, `10s`, `500ms`, `5min`, `24h`, `7d`; a bare number means seconds.
///
/// # Errors
/// A sentence saying what was expected.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("\"{text}\" is no duration: expected a number and ms, s, min, h or d");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let per_unit = match unit.trim() {
        "ms" => 1,
        "" | "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(per_unit).map(Duration::from_millis).ok_or_else(wrong)
}

/// A lifetime as ISO 8601 writes it; what [`parse`] reads becomes such.
///
/// # Errors
/// A sentence saying what was expected.
pub(crate) fn lifetime(text: &str) -> Result<String, String> {
    if text.starts_with('P') {
        // The coordinator reads it: what a month is depends on when it begins.
        return Ok(text.to_owned());
    }
    let span = parse(text).map_err(|wrong| format!("{wrong}, or ISO 8601 such as PT30M or P1D"))?;
    Ok(format!("PT{}S", span.as_millis().div_ceil(1_000).max(1)))
}

/// The age in its largest whole unit: `850 ms`, `12 s`, `5 min`, `3 h`, `12 d`.
#[must_use]
pub(crate) fn age(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{} s", millis / 1_000),
        60_000..3_600_000 => format!("{} min", millis / 60_000),
        3_600_000..172_800_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} d", millis / 86_400_000),
    }
}

/// A duration as milliseconds, as the API wants it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        let ms = |text| parse(text).map(millis);
        assert_eq!(ms("10"), Ok(10_000));
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("5min"), Ok(300_000));
        assert_eq!(ms("24h"), Ok(86_400_000));
        for bad in ["", "s", "-1s", "1.5s", "10 parsecs", "99999999999999999999d"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lifetimes_are_written_as_the_daemon_reads_them() {
        assert_eq!(lifetime("30min").as_deref(), Ok("PT1800S"));
        assert_eq!(lifetime("500ms").as_deref(), Ok("PT1S"));
        assert_eq!(lifetime("P1M").as_deref(), Ok("P1M"));
        assert!(lifetime("soon").unwrap_err().contains("ISO 8601"));
    }

    #[test]
    fn ages_use_one_unit() {
        let cases = [
            (999, "999 ms"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ];
        for (millis, text) in cases {
            assert_eq!(age(millis), text);
        }
    }
}
