//! Times in payloads: RFC 3339, its plain cousin, and epoch numbers in a unit or by magnitude.
//!
//! Every time lies in the years 1 to 9999; what does not, or does not fit, is no time.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::value::{Value, shorten};
use crate::config::TimeFormat;

/// 0001-01-01T00:00:00 in microseconds since the epoch.
const FIRST: i64 = -62_135_596_800_000_000;
/// The last microsecond of the year 9999.
const LAST: i64 = 253_402_300_799_999_999;

/// Microseconds since the epoch of a value in that format.
///
/// # Errors
/// Why it is no time, in words for a dead letter.
pub(super) fn micros(value: &Value<'_>, format: TimeFormat) -> Result<i64, String> {
    let wrong = |shown: String| format!("{shown} is no timestamp{}", within(format));
    let found = match value {
        Value::Micros(v) => in_range(*v).ok_or_else(|| v.to_string()),
        Value::Text(text) | Value::Bare(text) => {
            of_text(text, format).ok_or_else(|| format!("'{}'", shorten(text)))
        }
        Value::Int(v) => of_integer(*v, format).ok_or_else(|| v.to_string()),
        Value::Float(v) => of_float(*v, format).ok_or_else(|| v.to_string()),
        Value::UInt(v) => Err(v.to_string()),
        other => return Err(format!("{} where a timestamp belongs", other.describe())),
    };
    found.map_err(wrong)
}

fn within(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::Auto | TimeFormat::Arrival => "",
        TimeFormat::Rfc3339 => " of RFC 3339",
        TimeFormat::S => " in seconds",
        TimeFormat::Ms => " in milliseconds",
        TimeFormat::Us => " in microseconds",
        TimeFormat::Ns => " in nanoseconds",
    }
}

fn of_text(text: &str, format: TimeFormat) -> Option<i64> {
    match format {
        TimeFormat::Rfc3339 => parse_timestamp(text),
        TimeFormat::Auto | TimeFormat::Arrival => {
            parse_timestamp(text).or_else(|| of_digits(text, format))
        }
        _ => of_digits(text, format),
    }
}

fn of_digits(text: &str, format: TimeFormat) -> Option<i64> {
    let text = text.trim();
    if let Ok(whole) = text.parse() {
        return of_integer(whole, format);
    }
    of_float(text.parse().ok()?, format)
}

fn of_integer(value: i64, format: TimeFormat) -> Option<i64> {
    let micros = match format {
        TimeFormat::Rfc3339 => None,
        TimeFormat::Auto | TimeFormat::Arrival => epoch_integer(value),
        TimeFormat::S => value.checked_mul(1_000_000),
        TimeFormat::Ms => value.checked_mul(1_000),
        TimeFormat::Us => Some(value),
        TimeFormat::Ns => Some(value.div_euclid(1_000)),
    };
    in_range(micros?)
}

fn of_float(value: f64, format: TimeFormat) -> Option<i64> {
    let factor = match (format, value.abs()) {
        (TimeFormat::Rfc3339, _) => return None,
        (TimeFormat::S, _) => 1e6,
        (TimeFormat::Ms, _) => 1e3,
        (TimeFormat::Us, _) => 1.0,
        (TimeFormat::Ns, _) => 1e-3,
        (_, v) if v < 1e11 => 1e6,
        (_, v) if v < 1e14 => 1e3,
        (_, v) if v < 1e17 => 1.0,
        (_, v) if v < 9e18 => 1e-3,
        _ => return None,
    };
    // The cast of a number too large, or of none, gives one out of range, or 0.
    let micros = (value * factor).round();
    in_range(micros.is_finite().then_some(micros as i64)?)
}

fn in_range(micros: i64) -> Option<i64> {
    (FIRST..=LAST).contains(&micros).then_some(micros)
}

/// Microseconds since the epoch of an RFC 3339 time, or of `YYYY-MM-DD HH:MM:SS[.f]` taken as UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim_start();
    if !has_whole_year(text) {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return in_range(time.timestamp_micros());
    }
    let plain = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
        .ok()?;
    in_range(plain.and_utc().timestamp_micros())
}

/// Microseconds since the epoch of a whole number of seconds, milli-, micro- or nanoseconds; the
/// unit is told by magnitude, which is right for times from 1970 to beyond 5000.
fn epoch_integer(value: i64) -> Option<i64> {
    match value.unsigned_abs() {
        0..100_000_000_000 => value.checked_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => value.checked_mul(1_000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(value),
        _ => Some(value.div_euclid(1_000)),
    }
}

/// Whether a year of four digits and a `-` come first: the parser takes `20-03-09` for the year 20.
fn has_whole_year(text: &str) -> bool {
    match text.as_bytes() {
        [a, b, c, d, b'-', ..] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// Days since the epoch of `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    if !has_whole_year(text) {
        return None;
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    in_range(days.checked_mul(86_400_000_000)?)?;
    i32::try_from(days).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROS: i64 = 1_583_748_915_250_000;

    fn auto(value: &Value<'_>) -> Option<i64> {
        micros(value, TimeFormat::Auto).ok()
    }

    #[test]
    fn text_forms_agree() {
        for text in [
            "2020-03-09T10:15:15.25Z",
            "2020-03-09T12:15:15.25+02:00",
            "2020-03-09 10:15:15.25",
            "2020-03-09T10:15:15.250",
            "1583748915.25",
            "1583748915250",
        ] {
            assert_eq!(auto(&Value::Text(text.into())), Some(MICROS), "{text}");
        }
        let whole = "2020-03-09 10:15:15";
        assert_eq!(auto(&Value::Text(whole.into())), Some(MICROS - 250_000));
        for text in [
            "",
            "yesterday",
            "2020-13-01 00:00:00",
            "2020-03-09",
            "20-03-09 10:15:15",
            "20-03-09T10:15:15",
            "+2020-03-09 10:15:15",
            "2020 -03-09 10:15:15",
            "nan",
            "inf",
            "1e999",
        ] {
            assert_eq!(auto(&Value::Bare(text.into())), None, "{text}");
        }
    }

    #[test]
    fn epochs_are_told_by_magnitude() {
        assert_eq!(auto(&Value::Int(1_583_748_915)), Some(MICROS - 250_000));
        assert_eq!(auto(&Value::Int(1_583_748_915_250)), Some(MICROS));
        assert_eq!(auto(&Value::Int(MICROS)), Some(MICROS));
        assert_eq!(auto(&Value::Int(1_583_748_915_250_000_999)), Some(MICROS));
        assert_eq!(auto(&Value::Float(1_583_748_915.25)), Some(MICROS));
        assert_eq!(auto(&Value::Float(1_583_748_915_250.0)), Some(MICROS));
        assert_eq!(auto(&Value::Float(1e300)), None);
        assert_eq!(auto(&Value::Float(f64::NAN)), None);
        assert_eq!(auto(&Value::UInt(u64::MAX)), None);
        assert_eq!(auto(&Value::Int(i64::MIN)), Some(i64::MIN.div_euclid(1000)));
    }

    #[test]
    fn a_unit_that_is_told_is_kept_to() {
        let of = |value: i64, format| micros(&Value::Int(value), format).ok();
        assert_eq!(of(5, TimeFormat::S), Some(5_000_000));
        assert_eq!(of(5, TimeFormat::Ms), Some(5_000));
        assert_eq!(of(5, TimeFormat::Us), Some(5));
        assert_eq!(of(-1, TimeFormat::Ns), Some(-1));
        assert_eq!(of(5, TimeFormat::Rfc3339), None);
        let text = |text: &'static str, format| micros(&Value::Text(text.into()), format).ok();
        assert_eq!(text("1583748915.25", TimeFormat::S), Some(MICROS));
        assert_eq!(
            text("2020-03-09T10:15:15.25Z", TimeFormat::Rfc3339),
            Some(MICROS)
        );
        assert_eq!(text("2020-03-09T10:15:15.25Z", TimeFormat::Ms), None);
        assert_eq!(text("1583748915", TimeFormat::Rfc3339), None);
    }

    #[test]
    fn nothing_wraps_around_or_leaves_the_calendar() {
        let of = |value: i64, format| micros(&Value::Int(value), format).ok();
        for format in [TimeFormat::S, TimeFormat::Ms, TimeFormat::Us] {
            for value in [i64::MAX, i64::MIN, i64::MAX / 30, i64::MIN / 30] {
                assert_eq!(of(value, format), None, "{value} {format:?}");
            }
        }
        assert_eq!(of(LAST, TimeFormat::Us), Some(LAST));
        assert_eq!(of(LAST + 1, TimeFormat::Us), None);
        assert_eq!(of(FIRST, TimeFormat::Us), Some(FIRST));
        assert_eq!(of(FIRST - 1, TimeFormat::Us), None);
        assert_eq!(of(253_402_300_800, TimeFormat::S), None);
        assert_eq!(parse_timestamp("9999-12-31T23:59:59.999999Z"), Some(LAST));
        assert_eq!(parse_timestamp("9999-12-31T23:59:59-01:00"), None);
        assert_eq!(parse_timestamp("+10000-01-01 00:00:00"), None);
        assert_eq!(parse_date("10000-01-01"), None);
        assert_eq!(micros(&Value::Float(-1e18), TimeFormat::S).ok(), None);
    }

    #[test]
    fn dates() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        assert_eq!(parse_date("02.01.1970"), None);
        assert_eq!(parse_date("70-01-02"), None);
    }
}
