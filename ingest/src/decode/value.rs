//! A field's value as a payload wrote it, before it has a column's type.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::DateTime;

/// A value, borrowed from the payload where that is possible.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    Float(f64),
    Text(Cow<'a, str>),
    /// Text of a format without types: its column says what it is.
    Bare(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Microseconds since the epoch.
    Micros(i64),
    Object(Vec<Field<'a>>),
    List(Vec<Value<'a>>),
}

/// A field's name and value.
pub(super) type Field<'a> = (Cow<'a, str>, Value<'a>);

impl Value<'_> {
    /// What it is, in words for a dead letter.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::UInt(_) | Self::Float(_) => "a number",
            Self::Text(_) | Self::Bare(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Micros(_) => "a timestamp",
            Self::Object(_) => "an object",
            Self::List(_) => "an array",
        }
    }

    /// The value as compact JSON text, fields in order. What JSON has no form for is null.
    pub(super) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Writing to a string does not fail, so the results are let go. Parsers bound the depth.
    fn write_json(&self, out: &mut String) {
        let _ = match self {
            Self::Bool(v) => write!(out, "{v}"),
            Self::Int(v) => write!(out, "{v}"),
            Self::Micros(v) => match DateTime::from_timestamp_micros(*v) {
                Some(time) => write!(out, "\"{}\"", time.to_rfc3339()),
                None => out.write_str("null"),
            },
            Self::UInt(v) => write!(out, "{v}"),
            Self::Float(v) if v.is_finite() => write!(out, "{v:?}"),
            Self::Null | Self::Float(_) | Self::Bytes(_) => out.write_str("null"),
            Self::Text(text) | Self::Bare(text) => write_text(text, out),
            Self::Object(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    let _ = write_text(name, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.write_char('}')
            }
            Self::List(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    value.write_json(out);
                }
                out.write_char(']')
            }
        };
    }
}

fn write_text(text: &str, out: &mut String) -> std::fmt::Result {
    // A string always has a JSON form.
    write!(out, "{}", serde_json::Value::String(text.to_owned()))
}

/// A text short enough for a reason.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether digits of an integer beyond 64 bits, `negative` ones of a signed one, lose some as a
/// double.
pub(super) fn is_inexact_integer(digits: &[u8], negative: bool) -> bool {
    if digits.len() < 19 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let text = String::from_utf8_lossy(digits);
    let exact = |f: f64| format!("{f:.0}") == text;
    let fits = match text.parse::<u64>() {
        Ok(size) => !negative || size <= i64::MIN.unsigned_abs(),
        Err(_) => false,
    };
    !fits && !text.parse().is_ok_and(exact)
}
