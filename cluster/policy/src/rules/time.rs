//! Civil time for date rules: ISO 8601 to seconds since 1970 and back. All times without an offset
//! are UTC.

use std::collections::BTreeMap;

use crate::world::values;

const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a date in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_days(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Monday is 1.
fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

fn weeks_in_year(year: i64) -> i64 {
    let jan1 = weekday(days_from_civil(year, 1, 1));
    if jan1 == 4 || (jan1 == 3 && is_leap(year)) { 53 } else { 52 }
}

/// The fields a date specification may ask for.
pub(crate) fn fields(at: i64) -> [(&'static str, i64); 10] {
    let days = at.div_euclid(DAY);
    let time = at.rem_euclid(DAY);
    let (year, month, day) = civil_from_days(days);
    let yearday = days - days_from_civil(year, 1, 1) + 1;
    let wday = weekday(days);
    let mut week = (yearday - wday + 10) / 7;
    let mut weekyear = year;
    if week < 1 {
        weekyear -= 1;
        week = weeks_in_year(weekyear);
    } else if week > weeks_in_year(year) {
        weekyear += 1;
        week = 1;
    }
    [
        ("years", year),
        ("months", month),
        ("monthdays", day),
        ("hours", time / 3600),
        ("minutes", time / 60 % 60),
        ("seconds", time % 60),
        ("yeardays", yearday),
        ("weekyears", weekyear),
        ("weeks", week),
        ("weekdays", wday),
    ]
}

/// Reads a date, such as `2014-05-07 00:28:00`, `2005-020` or `2013-W05-3T10:00Z`; a time alone
/// is that of today.
pub(crate) fn parse(text: &str, now: i64) -> Option<i64> {
    if text.starts_with('T') || text.as_bytes().get(2) == Some(&b':') {
        let time = text.strip_prefix('T').unwrap_or(text);
        return Some(now.div_euclid(DAY) * DAY + time_of_day(time)?);
    }
    let lower = text.to_ascii_lowercase();
    if lower
        .strip_prefix("epoch")
        .is_some_and(|r| r.is_empty() || r.starts_with('/') || r.starts_with(char::is_whitespace))
    {
        return Some(0);
    }
    let end =
        text.find(|c: char| !c.is_ascii_digit() && c != '-' && c != 'W').unwrap_or(text.len());
    let days = date(&text[..end])?;
    let rest = &text[end..];
    let time = match rest.strip_prefix([' ', 'T']) {
        Some(t) => time_of_day(t)?,
        None => 0,
    };
    Some(days * DAY + time)
}

/// Days since 1970 of a calendar, ordinal or week date.
fn date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let first = parts.next()?;
    let second = parts.next();
    let third = parts.next();
    let number = |s: &str| s.parse::<i64>().ok();
    match (second, third) {
        (None, _) => {
            let (y, m, d) = (first.get(..4)?, first.get(4..6)?, first.get(6..8)?);
            calendar(number(y)?, number(m)?, number(d)?)
        }
        (Some(week), Some(day)) if week.starts_with('W') => {
            let (year, week, day) = (number(first)?, number(&week[1..])?, number(day)?);
            if year < 1 || !(1..=weeks_in_year(year)).contains(&week) || !(1..=7).contains(&day) {
                return None;
            }
            let jan1 = days_from_civil(year, 1, 1);
            let monday = jan1 - (weekday(jan1) - 1);
            let first_week = if weekday(jan1) <= 4 { monday } else { monday + 7 };
            Some(first_week + (week - 1) * 7 + day - 1)
        }
        (Some(m), Some(d)) => calendar(number(first)?, number(m)?, number(d)?),
        (Some(ordinal), None) => {
            let (year, day) = (number(first)?, number(ordinal)?);
            if year < 1 || !(1..=year_days(year)).contains(&day) {
                return None;
            }
            Some(days_from_civil(year, 1, 1) + day - 1)
        }
    }
}

fn calendar(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=999_999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=month_days(year, month)).contains(&day)
    {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// Seconds since midnight UTC of a time with an optional offset.
fn time_of_day(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(text.len());
    let seconds = hms(&text[..end])?;
    let offset = text[end..].trim_start();
    let offset = match offset.bytes().next() {
        Some(b'+') => hms(&offset[1..])?,
        Some(b'-') => -hms(&offset[1..])?,
        Some(b) if b.is_ascii_digit() => hms(offset)?,
        _ => 0,
    };
    Some(seconds - offset)
}

fn hms(text: &str) -> Option<i64> {
    let text = text.trim_end();
    let mut fields = [0_i64; 3];
    if text.contains(':') || text.len() <= 2 {
        for (f, part) in fields.iter_mut().zip(text.split(':')) {
            *f = values::int(part)?;
        }
    } else {
        for (i, f) in fields.iter_mut().enumerate() {
            if let Some(part) = text.get(i * 2..i * 2 + 2) {
                *f = part.parse().ok()?;
            }
        }
    }
    let [h, m, s] = fields;
    let ok = (0..24).contains(&h) || (h == 24 && m == 0 && s == 0);
    (ok && (0..60).contains(&m) && (0..60).contains(&s)).then_some(h * 3600 + m * 60 + s)
}

/// Adds years, months, weeks, days, hours, minutes and seconds.
pub(crate) fn add_duration(start: i64, parts: &BTreeMap<String, String>) -> Option<i64> {
    let part = |name: &str| match parts.get(name) {
        None => Some(0),
        Some(v) => values::int(v).filter(|v| v.abs() < 1_000_000_000),
    };
    let time = start.rem_euclid(DAY);
    let (year, month, day) = civil_from_days(start.div_euclid(DAY));
    let yearday = days_from_civil(year, month, day) - days_from_civil(year, 1, 1);
    let years = part("years")?.clamp(-100_000, 100_000);
    let moved = days_from_civil(year + years, 1, 1) + yearday;
    let (year, month, day) = civil_from_days(moved);
    let months = month - 1 + part("months")?.clamp(-1_000_000, 1_000_000);
    let (year, month) = (year + months.div_euclid(12), months.rem_euclid(12) + 1);
    let days = days_from_civil(year, month, day.min(month_days(year, month)))
        + part("weeks")? * 7
        + part("days")?;
    Some(days * DAY + time + part("hours")? * 3600 + part("minutes")? * 60 + part("seconds")?)
}

/// The length of an ISO 8601 period such as `P1DT2H`, in seconds; a month counts 30 days and a
/// year 365.
pub(crate) fn period_seconds(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('P')?;
    let (mut total, mut in_time) = (0_i64, false);
    while !rest.is_empty() {
        if let Some(r) = rest.strip_prefix('T') {
            in_time = true;
            rest = r;
            continue;
        }
        let (value, tail) = values::scan(rest)?;
        let unit = tail.chars().next()?;
        let factor = match unit {
            'Y' => 365 * DAY,
            'M' if in_time => 60,
            'M' => 30 * DAY,
            'W' => 7 * DAY,
            'D' => DAY,
            'H' => 3600,
            'S' => 1,
            _ => return None,
        };
        total = total.saturating_add(value.saturating_mul(factor));
        rest = &tail[unit.len_utf8()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_all_three_forms_are_the_same_day() {
        let day = Some(1_106_179_200);
        assert_eq!(parse("2005-01-20", 0), day);
        assert_eq!(parse("2005-020", 0), day);
        assert_eq!(parse("2005-W03-4", 0), day);
        assert_eq!(parse("20050120T000000Z", 0), day);
        assert_eq!(parse("2005-01-20 02:00:00 +02:00", 0), day);
    }

    #[test]
    fn fields_know_the_week_year() {
        let f: BTreeMap<_, _> = fields(parse("2005-01-01", 0).unwrap_or(0)).into_iter().collect();
        assert_eq!((f["weekyears"], f["weeks"], f["weekdays"]), (2004, 53, 6));
    }

    #[test]
    fn durations_keep_the_day_within_the_month() {
        let start = parse("2024-01-31", 0).unwrap_or(0);
        let one = BTreeMap::from([("months".to_owned(), "1".to_owned())]);
        assert_eq!(add_duration(start, &one), parse("2024-02-29", 0));
    }
}
