//! Seconds since 1970 as people read them, in UTC.

/// `YYYY-MM-DD HH:MM:SSZ`.
pub(crate) fn utc(seconds: i64) -> String {
    let (date, (h, m, s)) = split(seconds);
    let (y, mo, d) = date;
    format!("{y:04}-{mo:02}-{d:02} {h:02}:{m:02}:{s:02}Z")
}

/// `Thu Jan  1 00:00:00 1970`.
pub(crate) fn calendar(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let ((y, mo, d), (h, m, s)) = split(seconds);
    let pick = |i: i64| usize::try_from(i).unwrap_or(0);
    let day = DAYS[pick(seconds.div_euclid(86_400).rem_euclid(7)) % 7];
    let month = MONTHS[pick(mo - 1) % 12];
    format!("{day} {month} {d:>2} {h:02}:{m:02}:{s:02} {y}")
}

type Date = (i64, i64, i64);

/// Date and time of day.
fn split(seconds: i64) -> (Date, Date) {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    (date(days), (rest / 3600, rest / 60 % 60, rest % 60))
}

/// The date of a day counted from 1970-01-01, by eras of 400 years that begin in March.
fn date(days: i64) -> Date {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_times() {
        assert_eq!(super::utc(0), "1970-01-01 00:00:00Z");
        assert_eq!(super::utc(1_503_335_574), "2017-08-21 17:12:54Z");
        assert_eq!(super::utc(951_782_400), "2000-02-29 00:00:00Z");
        assert_eq!(super::utc(2_149_999_999), "2038-02-17 06:13:19Z");
        assert_eq!(super::calendar(1_503_335_574), "Mon Aug 21 17:12:54 2017");
        assert_eq!(super::calendar(0), "Thu Jan  1 00:00:00 1970");
    }
}
