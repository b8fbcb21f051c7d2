//! Text of formats without types, such as CSV: what it is by its looks, and as a column's type.

use super::kind::Kind;
use super::time;
use super::value::{Value, is_inexact_integer};

/// The type that text has by its looks: a JSON number, `true` or `false`, a timestamp, else text.
/// None for empty text, which is null.
pub(super) fn infer(text: &str) -> Option<Kind> {
    let trimmed = text.trim();
    Some(match trimmed {
        _ if text.is_empty() => return None,
        "true" | "false" => Kind::Boolean,
        _ if is_json_number(trimmed) => Kind::Double,
        _ if time::parse_timestamp(trimmed).is_some() => Kind::Timestamp,
        _ => Kind::String,
    })
}

/// The value that text has in a column of numbers, truths or times; the text where it has none.
pub(super) fn typed<'a>(text: &str, kind: &Kind) -> Option<Value<'a>> {
    let trimmed = text.trim();
    match kind {
        Kind::Boolean if trimmed == "1" || trimmed.eq_ignore_ascii_case("true") => {
            Some(Value::Bool(true))
        }
        Kind::Boolean if trimmed == "0" || trimmed.eq_ignore_ascii_case("false") => {
            Some(Value::Bool(false))
        }
        // As in a column that it begins: `007` is a name, whatever came before it.
        Kind::Double if is_padded(trimmed) => None,
        Kind::Int | Kind::Long | Kind::Float | Kind::Double => number(trimmed),
        _ => None,
    }
}

/// The number; none where it is none, or no double holds it.
fn number<'a>(text: &str) -> Option<Value<'a>> {
    if let Ok(v) = text.parse() {
        return Some(Value::Int(v));
    }
    if let Ok(v) = text.parse() {
        return Some(Value::UInt(v));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let v: f64 = text.parse().ok()?;
    let inexact = is_inexact_integer(digits.as_bytes(), text.starts_with('-'));
    (v.is_finite() && !inexact).then_some(Value::Float(v))
}

/// Whether zeros come before a number.
fn is_padded(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
    matches!(digits, [b'0', b'0'..=b'9', ..])
}

/// Whether JSON would write a number so. An identifier such as `007` is none.
fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = |text: &str| digits(text.strip_prefix(['-', '+']).unwrap_or(text));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_tell_the_type() {
        for text in ["0", "-1", "1.5", "1e5", "-0.5E-3", " 7 "] {
            assert_eq!(infer(text), Some(Kind::Double), "{text}");
        }
        for text in [
            "007", "+5", ".5", "5.", "1e", "nan", "inf", "0x1", "-", "TRUE", " ",
        ] {
            assert_eq!(infer(text), Some(Kind::String), "{text}");
        }
        assert_eq!(infer("true"), Some(Kind::Boolean));
        assert_eq!(infer("2020-03-09 10:15:15"), Some(Kind::Timestamp));
        assert_eq!(infer(""), None);
    }

    #[test]
    fn a_column_tells_the_value() {
        assert_eq!(typed("007", &Kind::Long), Some(Value::Int(7)));
        assert_eq!(typed("+1.5", &Kind::Double), Some(Value::Float(1.5)));
        assert_eq!(typed("1", &Kind::Boolean), Some(Value::Bool(true)));
        assert_eq!(typed("False", &Kind::Boolean), Some(Value::Bool(false)));
        for text in [
            "nan",
            "inf",
            "1e999",
            "-1e999",
            "",
            "123456789012345678901234567891",
            "-9223372036854775809",
            "007",
            "-01.5",
        ] {
            assert_eq!(typed(text, &Kind::Double), None, "{text}");
        }
    }
}
