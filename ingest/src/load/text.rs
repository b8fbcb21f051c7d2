//! What an open text can be read as: the forms of numbers and booleans.

use std::borrow::Cow;

/// How numbers and absent values are written in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notation {
    /// A comma, and not a point, comes before the fraction.
    pub decimal_comma: bool,
    /// Texts that stand for no value, beside the empty one.
    pub nulls: Vec<String>,
}

impl Default for Notation {
    /// A decimal point, and only the empty cell is no value.
    fn default() -> Self {
        Self {
            decimal_comma: false,
            nulls: Vec::new(),
        }
    }
}

impl Notation {
    pub(super) fn is_null(&self, text: &str) -> bool {
        text.is_empty() || self.nulls.iter().any(|null| null == text)
    }

    /// The text with a decimal point; none where it has one already that is not to be.
    pub(super) fn point<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        match self.decimal_comma {
            false => Some(Cow::Borrowed(text)),
            true if text.contains('.') => None,
            true => Some(Cow::Owned(text.replacen(',', ".", 1))),
        }
    }
}

/// A number in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    /// An integer beyond `i64`.
    Huge(f64),
    Float(f64),
}

/// Digits after a `+` from which on it is that of a telephone.
const TELEPHONE: usize = 7;

/// The number that `text` is, surrounded by spaces at most. A number with leading zeros is
/// none: it is a name, and the zeros are part of it. So is a long one after a `+`.
pub(super) fn number(text: &str) -> Option<Number> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
    match digits {
        [] => None,
        [b'0', b'0'..=b'9', ..] => None,
        [b'0'..=b'9', ..] if digits.iter().all(u8::is_ascii_digit) => {
            if text.starts_with('+') && digits.len() >= TELEPHONE {
                return None;
            }
            Some(match text.parse() {
                Ok(int) => Number::Int(int),
                Err(_) => Number::Huge(text.parse().ok()?),
            })
        }
        [b'0'..=b'9' | b'.', ..] => {
            let plain = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
            let value: f64 = digits.iter().all(plain).then(|| text.parse().ok())??;
            value.is_finite().then_some(Number::Float(value))
        }
        _ => special(text).map(Number::Float),
    }
}

/// NaN and the infinities, as the usual programs write them.
fn special(text: &str) -> Option<f64> {
    match text {
        "NaN" | "nan" | "NAN" => Some(f64::NAN),
        "inf" | "Inf" | "INF" | "Infinity" | "infinity" | "+inf" => Some(f64::INFINITY),
        "-inf" | "-Inf" | "-INF" | "-Infinity" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The boolean that `text` is.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim_ascii() {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Whether an integer keeps its digits in a number of so many `bits`: 53 of a double, 24 of a float.
pub(super) fn is_exact(value: i64, bits: u32) -> bool {
    let size = value.unsigned_abs();
    size == 0 || size.trailing_zeros() + bits > size.ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_that_programs_write() {
        for (text, expected) in [
            ("0", Number::Int(0)),
            ("-0", Number::Int(0)),
            ("+7", Number::Int(7)),
            (" 42 ", Number::Int(42)),
            ("9223372036854775807", Number::Int(i64::MAX)),
            (
                "9223372036854775808",
                Number::Huge(9_223_372_036_854_775_808_f64),
            ),
            ("0.5", Number::Float(0.5)),
            (".5", Number::Float(0.5)),
            ("5.", Number::Float(5.0)),
            ("-1.5e-7", Number::Float(-1.5e-7)),
            ("1E+05", Number::Float(1e5)),
            ("-inf", Number::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in [
            "",
            " ",
            "-",
            "007",
            "00.5",
            "+4930901820",
            "1e",
            "1,5",
            "1_0",
            "0x1",
            "1e999",
            "٣",
            "NAN1",
            "1-2",
            "2020-03-09",
            "1.2.3",
            "e5",
            "--1",
            "+-1",
            ".",
            "1 000",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert!(matches!(number("NaN"), Some(Number::Float(value)) if value.is_nan()));
    }

    #[test]
    fn a_decimal_comma_is_taken_when_told() {
        let german = Notation {
            decimal_comma: true,
            nulls: vec!["NULL".into()],
        };
        let read = |text| german.point(text).and_then(|text| number(&text));
        assert_eq!(read("1,5"), Some(Number::Float(1.5)));
        assert_eq!(read("1.5"), None);
        assert_eq!(read("1.234,5"), None);
        assert!(german.is_null("NULL") && german.is_null("") && !german.is_null("null"));
    }

    proptest! {
        #[test]
        fn every_integer_and_double_reads_back(int: i64, float: f64) {
            prop_assert_eq!(number(&int.to_string()), Some(Number::Int(int)));
            if float.is_finite() {
                let back = match number(&format!("{float:e}")) {
                    Some(Number::Float(value)) => value,
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(back.to_bits(), float.to_bits());
            }
            prop_assert_eq!(is_exact(int, 53), int as f64 as i128 == i128::from(int));
            prop_assert_eq!(is_exact(int, 24), int as f32 as i128 == i128::from(int));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (number(&text), boolean(&text), super::super::time::timestamp(&text));
        }
    }
}
