//! Times in files: RFC 3339 and its plain cousins, dates, epoch numbers, declared formats.

use chrono::format::{Parsed, StrftimeItems};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

const DAY_MICROS: i64 = 86_400_000_000;
/// Years before are slips.
const FIRST_YEAR: i32 = 1_000;

/// Microseconds since the epoch of `2026-11-21T10:15:00Z`, of `2026-11-21 10:15[:00[.5]]` with
/// or without an offset, or of a date at midnight; without an offset it is UTC.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let midnight = i64::from(date_digits(date.as_bytes())?) * DAY_MICROS;
    let Some(rest) = rest.strip_prefix(['T', ' ', 't']) else {
        return rest.is_empty().then_some(midnight);
    };
    let (clock, offset) = split_offset(rest)?;
    midnight
        .checked_add(clock_micros(clock)?)?
        .checked_sub(offset)
}

/// Days since the epoch of `2026-11-21`.
pub(super) fn date(text: &str) -> Option<i32> {
    date_digits(text.as_bytes())
}

fn date_digits(text: &[u8]) -> Option<i32> {
    let [y @ .., b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    if y.len() != 4 {
        return None;
    }
    let year = i32::try_from(number(y)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[*m1, *m2])?, number(&[*d1, *d2])?)?;
    days(date)
}

fn days(date: NaiveDate) -> Option<i32> {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u32::from(digit - b'0'))
    })
}

/// The clock and, in microseconds, the offset after it.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (clock, offset) = text.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let digits = offset.get(1..)?.as_bytes();
    let (hours, minutes) = match digits {
        [h1, h2] => (number(&[*h1, *h2])?, 0),
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?),
        _ => return None,
    };
    let seconds = i64::from(hours * 3600 + minutes * 60);
    (hours < 24 && minutes < 60).then_some((clock.trim_end(), sign * seconds * 1_000_000))
}

/// `10:15`, `10:15:00` or `10:15:00.123456` as microseconds.
fn clock_micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let mut part = || {
        let part = parts.next()?;
        (part.len() == 2).then(|| number(part.as_bytes()))?
    };
    let (hours, minutes) = (part()?, part()?);
    let seconds = match whole.len() {
        5 => (whole.len() == text.len()).then_some(0)?,
        8 => part()?,
        _ => return None,
    };
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let digits = fraction.len().min(6);
    let micros = number(fraction.as_bytes().get(..digits)?)? * 10_u32.pow(6 - digits as u32);
    fraction.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    let seconds = hours * 3600 + minutes * 60 + seconds;
    Some(i64::from(seconds) * 1_000_000 + i64::from(micros))
}

/// Microseconds since the epoch of a whole number of seconds, milli-, micro- or nanoseconds,
/// told apart by magnitude: right for times from 1973 to beyond 5000.
pub(super) fn epoch(value: i64) -> Option<i64> {
    match value.unsigned_abs() {
        0..100_000_000_000 => value.checked_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => value.checked_mul(1_000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(value),
        _ => Some(value.div_euclid(1_000)),
    }
}

/// Like [`epoch`] for a number with a fraction, rounded to microseconds.
pub(super) fn epoch_float(value: f64) -> Option<i64> {
    let factor = match value.abs() {
        v if v < 1e11 => 1e6,
        v if v < 1e14 => 1e3,
        v if v < 1e17 => 1.0,
        _ => return None,
    };
    Some((value * factor).round() as i64)
}

/// Microseconds since the epoch of `text` in a declared format of strftime, such as
/// `%d.%m.%Y %H:%M`; without an offset it is UTC, without anything of a clock midnight. A clock
/// that is not whole is none, and an offset needs one; years of two digits read as those of four
/// are none either.
pub(super) fn by_format(text: &str, format: &str) -> Option<i64> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, StrftimeItems::new(format)).ok()?;
    let time = match (parsed.to_datetime(), parsed.to_naive_date()) {
        (Ok(time), _) => time.naive_utc(),
        (Err(_), Ok(date)) if !has_clock(&parsed) && parsed.offset().is_none() => {
            NaiveDateTime::new(date, NaiveTime::MIN)
        }
        // With an offset it would have been a time at once.
        (Err(_), _) if parsed.offset().is_some() => return None,
        (Err(_), _) => parsed.to_naive_datetime_with_offset(0).ok()?,
    };
    (time.year() >= FIRST_YEAR).then(|| time.and_utc().timestamp_micros())
}

/// Whether anything of a clock was read.
fn has_clock(parsed: &Parsed) -> bool {
    let hour = [parsed.hour_div_12(), parsed.hour_mod_12()];
    let rest = [parsed.minute(), parsed.second(), parsed.nanosecond()];
    hour.iter().chain(&rest).any(Option::is_some)
}

/// Whether `format` is one that [`by_format`] understands.
pub(super) fn is_format(format: &str) -> bool {
    format.contains('%')
        && StrftimeItems::new(format).all(|item| !matches!(item, chrono::format::Item::Error))
}

/// The day a time lies in.
pub(super) fn day_of(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX)
}

/// Whether it is midnight.
pub(super) fn is_midnight(micros: i64) -> bool {
    micros.rem_euclid(DAY_MICROS) == 0
}

/// Microseconds of an Excel serial day number; none beyond the year 9999, and none below 1, which
/// is a time of day without a day. Excel takes 1900 for a leap year, so its days before March 1900
/// are one off.
pub(super) fn excel(serial: f64, since_1904: bool) -> Option<i64> {
    let epoch = match since_1904 {
        true => -24_107.0,
        false if serial < 60.0 => -25_568.0,
        false => -25_569.0,
    };
    if !(1.0..2_958_466.0).contains(&serial) {
        return None;
    }
    // Excel has milliseconds, and its numbers are a little beside them.
    let millis = ((serial + epoch) * 86_400_000.0).round();
    Some(millis as i64 * 1_000)
}

/// A time as people read it.
pub(super) fn to_text(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
        None => micros.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROS: i64 = 1_583_748_915_250_000;

    #[test]
    fn forms_of_one_time_agree() {
        for text in [
            "2020-03-09T10:15:15.25Z",
            "2020-03-09t10:15:15.25z",
            "2020-03-09T12:15:15.25+02:00",
            "2020-03-09 12:15:15.25 +0200",
            "2020-03-09 05:15:15.250000-05",
            "2020-03-09 10:15:15.25",
            "2020-03-09T10:15:15,250",
        ] {
            assert_eq!(timestamp(text), Some(MICROS), "{text}");
        }
        let minute = MICROS - 15_250_000;
        assert_eq!(timestamp("2020-03-09 10:15"), Some(minute));
        assert_eq!(timestamp("1970-01-02"), Some(DAY_MICROS));
        assert_eq!(timestamp("1969-12-31 23:59:59.999999999"), Some(-1));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2020",
            "2020-13-01",
            "2020-02-30 00:00",
            "2020-03-09 24:00",
            "2020-03-09 1:00",
            "2020-03-09 10",
            "2020-03-09 10:15:",
            "2020-03-09 10:15.5",
            "09.03.2020",
            "2020-3-9",
            "2020-03-09 10:15:15.",
            "2020-03-09 10:15:15.x",
            "2020-03-09 10:15:15+99:00",
            "2020-03-09  10:15",
            "ä020-03-09",
            "２０２０-03-09",
            "20200309T101515",
            "12020-03-09",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
        assert_eq!(date("2020-03-09 "), None);
    }

    #[test]
    fn formats_are_declared() {
        assert_eq!(
            by_format("09.03.2020 10:15:15", "%d.%m.%Y %H:%M:%S"),
            Some(MICROS - 250_000)
        );
        assert_eq!(by_format("02.01.1970", "%d.%m.%Y"), Some(DAY_MICROS));
        assert_eq!(by_format("0", "%s"), Some(0));
        assert_eq!(by_format("31.02.1970", "%d.%m.%Y"), None);
        assert_eq!(
            by_format("1970-01-02 01:00 +0100", "%Y-%m-%d %H:%M %z"),
            Some(DAY_MICROS)
        );
        for (text, format) in [
            ("09.03.20", "%d.%m.%Y"),
            ("09.03.0020 10:15", "%d.%m.%Y %H:%M"),
            ("2020-03-09 10", "%Y-%m-%d %H"),
            ("2020-03-09 10:15", "%Y-%m-%d %I:%M"),
            ("2020-03-09 15", "%Y-%m-%d %M"),
            ("2020-03-09 +0100", "%Y-%m-%d %z"),
        ] {
            assert_eq!(by_format(text, format), None, "{text}");
        }
        assert_eq!(by_format("02.01.70", "%d.%m.%y"), Some(DAY_MICROS));
        assert!(is_format("%d.%m.%Y") && !is_format("DD.MM.YYYY") && !is_format("%Q"));
    }

    #[test]
    fn excel_counts_days_from_two_epochs() {
        assert_eq!(
            excel(45_943.5, false).map(to_text).unwrap(),
            "2025-10-13 12:00:00"
        );
        assert_eq!(
            excel(1.0, false).map(to_text).unwrap(),
            "1900-01-01 00:00:00"
        );
        assert_eq!(
            excel(61.0, false).map(to_text).unwrap(),
            "1900-03-01 00:00:00"
        );
        assert_eq!(
            excel(1.0, true).map(to_text).unwrap(),
            "1904-01-02 00:00:00"
        );
        assert_eq!(excel(0.5, false), None);
        assert_eq!(excel(-1.0, false), None);
        assert_eq!(excel(f64::NAN, false), None);
    }

    #[test]
    fn epochs_are_told_by_magnitude() {
        assert_eq!(epoch(1_583_748_915), Some(MICROS - 250_000));
        assert_eq!(epoch(MICROS), Some(MICROS));
        assert_eq!(epoch(i64::MIN), Some(i64::MIN.div_euclid(1000)));
        assert_eq!(epoch_float(1_583_748_915.25), Some(MICROS));
        assert_eq!(epoch_float(f64::NAN), None);
    }
}
