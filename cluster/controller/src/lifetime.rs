//! Lifetimes of moves and bans: durations and dates as ISO 8601 writes them.

use std::time::Duration;

use haven_api::{ApiError, Code};
use haven_base::WallTime;

/// The longest life of a move or ban.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A duration of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Span {
    months: i64,
    seconds: i64,
}

/// The date, in UTC, at which something that begins now and lives for `lifetime` ends.
///
/// # Errors
/// [`Code::Usage`] where the text is no duration.
pub(crate) fn end_of(now: WallTime, lifetime: &str) -> Result<String, ApiError> {
    let span = parse(lifetime).ok_or_else(|| {
        ApiError::new(Code::Usage, format!("\"{lifetime}\" is no duration as ISO 8601 writes it"))
            .remedy("write PT30M for half an hour, PT4H, P1D, P2W, P1M for a month, P1DT12H")
    })?;
    let end = add_months(now.seconds, span.months).saturating_add(span.seconds);
    let most = now.seconds.saturating_add(seconds(LONGEST));
    Ok(date(end.clamp(now.seconds.saturating_add(1), most)))
}

/// The date, in UTC, at which something that lives for `span` ends.
pub(crate) fn end_after(now: WallTime, span: Duration) -> String {
    date(now.seconds.saturating_add(seconds(span.min(LONGEST)).max(1)))
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// `P[nY][nM][nW][nD][T[nH][nM][nS]]`; a fraction of a second counts as a whole one.
fn parse(text: &str) -> Option<Span> {
    let mut rest = text.strip_prefix('P')?;
    let (mut span, mut time, mut any) = (Span::default(), false, false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            if time || after.is_empty() {
                return None;
            }
            (rest, time) = (after, true);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit = after.chars().next()?;
        rest = after.get(1..)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let mut number: i64 = whole.parse().ok().filter(|number| *number < 1_000_000_000)?;
        if number_has_fraction(fraction)? {
            number += i64::from(time && unit == 'S');
            if unit != 'S' {
                return None;
            }
        }
        match (time, unit) {
            (false, 'Y') => span.months += number * 12,
            (false, 'M') => span.months += number,
            (false, 'W') => span.seconds += number * 7 * 86_400,
            (false, 'D') => span.seconds += number * 86_400,
            (true, 'H') => span.seconds += number * 3_600,
            (true, 'M') => span.seconds += number * 60,
            (true, 'S') => span.seconds += number,
            _ => return None,
        }
        any = true;
    }
    any.then_some(span)
}

/// Whether the digits behind the point are more than nothing; none where they are no digits.
fn number_has_fraction(digits: &str) -> Option<bool> {
    digits.chars().all(|c| c.is_ascii_digit()).then(|| digits.chars().any(|c| c != '0'))
}

/// The same time of day so many months later, on the last day of a month that is too short.
fn add_months(second: i64, months: i64) -> i64 {
    if months == 0 {
        return second;
    }
    let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let count = year * 12 + month - 1 + months;
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
    let first = days_to(year, month);
    let length = days_to(year + month / 12, month % 12 + 1) - first;
    (first + day.min(length) - 1) * 86_400 + of_day
}

/// Year, month and day of a day since 1970. The calendar by eras of 400 years that begin in March, so that the leap
/// day is a year's last.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + (month <= 2) as i64, month, day)
}

/// Days from 1970 to the first of a month.
const fn days_to(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A second since 1970 as ISO 8601 writes it, in UTC.
fn date(second: i64) -> String {
    let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, rest) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{rest:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_such_as_the_engine_reads() {
        for second in [0, 951_782_399, 951_868_800, 1_709_208_000, 1_767_225_599, 4_102_444_800] {
            let text = date(second);
            let read = haven_policy::parse_time(&text);
            assert_eq!(read, Some(WallTime::from_seconds(second)), "{text}");
            let (year, month, day) = civil(second.div_euclid(86_400));
            assert_eq!(days_to(year, month) + day - 1, second.div_euclid(86_400), "{text}");
        }
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00Z");
        let end = end_after(WallTime::from_seconds(0), Duration::MAX);
        assert_eq!(end, "1979-12-30 00:00:00Z", "ten years at most");
    }

    #[test]
    fn a_lifetime_is_counted_by_the_calendar() {
        let january = WallTime::from_seconds(1_769_860_800); // 2026-01-31 12:00:00Z
        for (lifetime, end) in [
            ("PT30M", "2026-01-31 12:30:00Z"),
            ("PT90S", "2026-01-31 12:01:30Z"),
            ("PT0.2S", "2026-01-31 12:00:01Z"),
            ("P1D", "2026-02-01 12:00:00Z"),
            ("P2W", "2026-02-14 12:00:00Z"),
            ("P1M", "2026-02-28 12:00:00Z"),
            ("P1Y1M", "2027-02-28 12:00:00Z"),
            ("P2Y1M", "2028-02-29 12:00:00Z"),
            ("P11M", "2026-12-31 12:00:00Z"),
            ("P1DT12H", "2026-02-02 00:00:00Z"),
            ("P99Y", "2036-01-29 12:00:00Z"),
            ("PT0S", "2026-01-31 12:00:01Z"),
        ] {
            assert_eq!(end_of(january, lifetime).unwrap(), end, "{lifetime}");
        }
        for wrong in
            ["", "P", "PT", "1D", "P1H", "PT1D", "P1", "P-1D", "P1.5D", "PTT1S", "P1DT", "Pé"]
        {
            let refused = end_of(january, wrong).unwrap_err();
            assert!(refused.remedy.is_some(), "{wrong}: {refused}");
        }
    }
}
