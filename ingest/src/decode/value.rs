//! One JSON object, parsed once: its fields in order, strings borrowed from the payload.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::Deserializer;
use serde::de::{Deserialize, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    Float(f64),
    Text(Cow<'a, str>),
    /// An object or array, as compact JSON text.
    Nested(String),
}

/// A field's name and value.
pub(super) type Field<'a> = (Cow<'a, str>, Value<'a>);

/// Integers have no exact `f64` from here on without a look at their digits.
const HUGE: f64 = 9.2e18;

/// The fields of the one JSON object that `payload` must be.
///
/// # Errors
/// Why it is none, in words for a dead letter.
pub(super) fn parse_object(payload: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let fields = json
        .deserialize_map(ObjectVisitor)
        .and_then(|fields| json.end().map(|()| fields))
        .map_err(|e| format!("not a JSON object: {e}"))?;
    let huge = |v: &Value<'_>| matches!(v, Value::Float(f) if f.abs() >= HUGE);
    if fields.iter().any(|(_, value)| huge(value)) && has_inexact_integer(payload) {
        return Err(
            "an integer is too large for a long and not exact as a double; send it as a string"
                .into(),
        );
    }
    Ok(fields)
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<Field<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            fields.push((name.0, map.next_value()?));
        }
        Ok(fields)
    }
}

/// A field name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(ValueVisitor)? {
            Value::Text(name) => Ok(Name(name)),
            _ => Err(serde::de::Error::custom("a field name is a string")),
        }
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Value::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(v).map_or(Value::UInt(v), Value::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(Value::Float(v))
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(v.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let mut text = String::new();
        Writer(&mut text).visit_seq(seq)?;
        Ok(Value::Nested(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut text = String::new();
        Writer(&mut text).visit_map(map)?;
        Ok(Value::Nested(text))
    }
}

/// Writes any JSON value as compact text, keeping the order of fields.
struct Writer<'o>(&'o mut String);

impl Writer<'_> {
    fn put(self, value: impl fmt::Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{value}");
    }

    fn put_text(self, text: &str) {
        // A string always has a JSON form.
        self.put(serde_json::Value::String(text.to_owned()));
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put("null");
        Ok(())
    }

    fn visit_bool<E>(self, v: bool) -> Result<(), E> {
        self.put(v);
        Ok(())
    }

    fn visit_i64<E>(self, v: i64) -> Result<(), E> {
        self.put(v);
        Ok(())
    }

    fn visit_u64<E>(self, v: u64) -> Result<(), E> {
        self.put(v);
        Ok(())
    }

    fn visit_f64<E>(self, v: f64) -> Result<(), E> {
        self.put(format_args!("{v:?}"));
        Ok(())
    }

    fn visit_str<E>(self, v: &str) -> Result<(), E> {
        self.put_text(v);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.push('[');
        let start = self.0.len();
        loop {
            let end = self.0.len();
            if end > start {
                self.0.push(',');
            }
            if seq.next_element_seed(Writer(self.0))?.is_none() {
                self.0.truncate(end);
                self.0.push(']');
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.push('{');
        let mut first = true;
        while let Some(Name(name)) = map.next_key()? {
            if !std::mem::take(&mut first) {
                self.0.push(',');
            }
            Writer(self.0).put_text(&name);
            self.0.push(':');
            map.next_value_seed(Writer(self.0))?;
        }
        self.0.push('}');
        Ok(())
    }
}

/// Whether some number in the payload is written as an integer but is not exact as a double; the
/// parser turns integers beyond 64 bits into doubles without telling.
fn has_inexact_integer(payload: &[u8]) -> bool {
    let mut in_string = false;
    let mut i = 0;
    while i < payload.len() {
        match payload[i] {
            b'\\' if in_string => i += 1,
            b'"' => in_string = !in_string,
            b'0'..=b'9' if !in_string => {
                let end = payload[i..]
                    .iter()
                    .position(|b| !matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
                    .map_or(payload.len(), |n| i + n);
                if is_inexact_integer(&payload[i..end]) {
                    return true;
                }
                i = end;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    false
}

fn is_inexact_integer(digits: &[u8]) -> bool {
    if digits.len() < 19 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let text = String::from_utf8_lossy(digits);
    let exact = |f: f64| format!("{f:.0}") == text;
    text.parse::<u64>().is_err() && !text.parse().is_ok_and(exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(payload: &str) -> Value<'_> {
        parse_object(payload.as_bytes()).unwrap().remove(0).1
    }

    #[test]
    fn values_keep_their_kind() {
        assert_eq!(one(r#"{"a":null}"#), Value::Null);
        assert_eq!(one(r#"{"a":true}"#), Value::Bool(true));
        assert_eq!(one(r#"{"a":-3}"#), Value::Int(-3));
        assert_eq!(one(r#"{"a":18446744073709551615}"#), Value::UInt(u64::MAX));
        assert_eq!(one(r#"{"a":1.5}"#), Value::Float(1.5));
        assert_eq!(one(r#"{"a":"x\ny"}"#), Value::Text("x\ny".into()));
    }

    #[test]
    fn nested_values_become_compact_text_in_order() {
        let nested = |text: &str| Value::Nested(text.into());
        assert_eq!(
            one(r#"{"a": {"z": [1, 2.0, null, "q\""], "b": {}, "c": [] } }"#),
            nested(r#"{"z":[1,2.0,null,"q\""],"b":{},"c":[]}"#)
        );
        assert_eq!(one(r#"{"a": [[], [true]]}"#), nested("[[],[true]]"));
    }

    #[test]
    fn only_one_object_will_do() {
        for payload in [
            "",
            "x",
            "5",
            "[1]",
            "{}{}",
            "{\"a\":1",
            "{\"a\":01}",
            "\"s\"",
        ] {
            let error = parse_object(payload.as_bytes()).unwrap_err();
            assert!(error.starts_with("not a JSON object"), "{payload}: {error}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(parse_object(deep.as_bytes()).is_err());
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_huge_integer_is_refused_and_a_huge_double_is_not() {
        assert!(parse_object(b"{\"a\":123456789012345678901234567891}").is_err());
        assert!(parse_object(b"{\"a\":1e300}").is_ok());
        assert!(parse_object(b"{\"a\":100000000000000000000}").is_ok());
    }
}
