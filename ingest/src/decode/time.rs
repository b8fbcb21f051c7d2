//! Times in payloads: RFC 3339, its plain cousin, and epoch numbers by magnitude.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// Microseconds since the epoch of an RFC 3339 time, or of `YYYY-MM-DD HH:MM:SS[.f]` taken as UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let plain = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
        .ok()?;
    Some(plain.and_utc().timestamp_micros())
}

/// Microseconds since the epoch of a whole number of seconds, milli-, micro- or nanoseconds; the
/// unit is told by magnitude, which is right for times from 1970 to beyond 5000.
pub(super) fn epoch_integer(value: i64) -> Option<i64> {
    match value.unsigned_abs() {
        0..100_000_000_000 => value.checked_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => value.checked_mul(1_000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(value),
        _ => Some(value.div_euclid(1_000)),
    }
}

/// Like [`epoch_integer`] for a number with a fraction, rounded to microseconds.
pub(super) fn epoch_float(value: f64) -> Option<i64> {
    let factor = match value.abs() {
        v if v < 1e11 => 1e6,
        v if v < 1e14 => 1e3,
        v if v < 1e17 => 1.0,
        v if v < 9e18 => 1e-3,
        _ => return None,
    };
    Some((value * factor).round() as i64)
}

/// Days since the epoch of `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROS: i64 = 1_583_748_915_250_000;

    #[test]
    fn text_forms_agree() {
        for text in [
            "2020-03-09T10:15:15.25Z",
            "2020-03-09T12:15:15.25+02:00",
            "2020-03-09 10:15:15.25",
            "2020-03-09T10:15:15.250",
        ] {
            assert_eq!(parse_timestamp(text), Some(MICROS), "{text}");
        }
        assert_eq!(
            parse_timestamp("2020-03-09 10:15:15"),
            Some(MICROS - 250_000)
        );
        for text in ["", "yesterday", "2020-13-01 00:00:00", "2020-03-09"] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn epochs_are_told_by_magnitude() {
        assert_eq!(epoch_integer(1_583_748_915), Some(MICROS - 250_000));
        assert_eq!(epoch_integer(1_583_748_915_250), Some(MICROS));
        assert_eq!(epoch_integer(MICROS), Some(MICROS));
        assert_eq!(epoch_integer(1_583_748_915_250_000_999), Some(MICROS));
        assert_eq!(epoch_float(1_583_748_915.25), Some(MICROS));
        assert_eq!(epoch_float(1_583_748_915_250.0), Some(MICROS));
        assert_eq!(epoch_float(1e300), None);
        assert_eq!(epoch_integer(i64::MIN), Some(i64::MIN.div_euclid(1000)));
    }

    #[test]
    fn dates() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        assert_eq!(parse_date("02.01.1970"), None);
    }
}
