//! JSON payloads: one object or an array of them, parsed once, strings borrowed from the payload.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{Deserialize, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::flat;
use super::rows::Problem;
use super::value::{Field, Value, is_inexact_integer};

/// Integers have no exact `f64` from here on without a look at their digits.
const HUGE: f64 = 9.2e18;

/// Gives the fields of each object of `payload` to `row`, until that fails.
///
/// # Errors
/// What `row` says, or why the payload holds no objects.
pub(super) fn rows<'a>(
    payload: &'a [u8],
    mut row: impl FnMut(Vec<Field<'a>>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    match flat::object(payload) {
        Some(fields) => row(fields),
        None => parsed_rows(payload, row),
    }
}

/// The same by a parser that knows all of JSON.
fn parsed_rows<'a>(
    payload: &'a [u8],
    mut row: impl FnMut(Vec<Field<'a>>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut huge = false;
    let mut problem = None;
    let mut take = |fields: Vec<Field<'a>>| {
        huge |= fields.iter().any(|(_, value)| is_huge(value));
        row(fields).map_err(|p| problem = Some(p))
    };
    let mut json = serde_json::Deserializer::from_slice(payload);
    let parsed = match payload.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'[') => json.deserialize_seq(Objects(&mut take)),
        _ => json
            .deserialize_map(ObjectVisitor)
            .and_then(|fields| take(fields).map_err(|()| stopped())),
    };
    let parsed = parsed.and_then(|()| json.end());
    if let Some(problem) = problem {
        return Err(problem);
    }
    parsed.map_err(|e| format!("not a JSON object or array of objects: {e}"))?;
    if huge && has_inexact_integer(payload) {
        let reason =
            "an integer is too large for a long and not exact as a double; send it as a string";
        return Err(Problem::Dead(reason.into()));
    }
    Ok(())
}

/// Ends parsing after a row that had a problem, which is then told instead.
fn stopped<E: serde::de::Error>() -> E {
    E::custom("a row has a problem")
}

/// The top-level array.
struct Objects<'f, F>(&'f mut F);

impl<'de, F> Visitor<'de> for Objects<'_, F>
where
    F: FnMut(Vec<Field<'de>>) -> Result<(), ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(fields) = seq.next_element_seed(ObjectVisitor)? {
            (self.0)(fields).map_err(|()| stopped())?;
        }
        Ok(())
    }
}

struct ObjectVisitor;

impl<'de> DeserializeSeed<'de> for ObjectVisitor {
    type Value = Vec<Field<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

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

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            fields.push((name.0, map.next_value()?));
        }
        Ok(Value::Object(fields))
    }
}

/// Whether a number may have been an integer whose last digits are gone.
fn is_huge(value: &Value<'_>) -> bool {
    match value {
        Value::Float(v) => v.abs() >= HUGE,
        Value::Object(fields) => fields.iter().any(|(_, value)| is_huge(value)),
        Value::List(values) => values.iter().any(is_huge),
        _ => false,
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
                let negative = payload[..i].last() == Some(&b'-');
                if is_inexact_integer(&payload[i..end], negative) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(payload: &[u8]) -> Result<Vec<Vec<Field<'_>>>, String> {
        let mut all = Vec::new();
        let parsed = rows(payload, |fields| {
            all.push(fields);
            Ok(())
        });
        match parsed {
            Ok(()) => Ok(all),
            Err(Problem::Dead(reason)) => Err(reason),
            Err(Problem::Columns(_)) => panic!("no columns are asked for here"),
        }
    }

    /// What the quick way gives, if it takes the payload, and what the full parser gives.
    fn both(payload: &[u8]) -> (Option<Vec<Field<'_>>>, Option<Vec<Field<'_>>>) {
        let mut full = None;
        let parsed = parsed_rows(payload, |fields| {
            full = Some(fields);
            Ok(())
        });
        (flat::object(payload), full.filter(|_| parsed.is_ok()))
    }

    /// Payloads of the pieces of JSON in any order, so that most are almost right.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("\"a\":".to_owned()),
            Just(",\"\u{e4}\":".to_owned()),
            Just(", ".to_owned()),
            Just("true".to_owned()),
            Just("null".to_owned()),
            "-?[0-9]{1,20}(\\.[0-9]{0,20})?([eE][0-9]{1,2})?",
            "\"[ -~\u{e4}\\\\\"]{0,5}\"",
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn object_of_a_number() -> impl Strategy<Value = String> {
        "\\{\"a\":-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?\\}"
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_quick_way_gives_what_the_full_parser_gives(
            payload in prop_oneof![pieces(), object_of_a_number()]
        ) {
            let (quick, full) = both(payload.as_bytes());
            prop_assert!(quick.is_none() || quick == full, "{quick:?} {full:?}");
        }
    }

    fn one(payload: &str) -> Value<'_> {
        parse(payload.as_bytes()).unwrap().remove(0).remove(0).1
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
        let value = one(r#"{"a": {"z": [1, 2.0, null, "q\""], "b": {}, "c": [] } }"#);
        assert_eq!(value.to_json(), r#"{"z":[1,2.0,null,"q\""],"b":{},"c":[]}"#);
        assert_eq!(one(r#"{"a": [[], [true]]}"#).to_json(), "[[],[true]]");
    }

    #[test]
    fn an_array_of_objects_is_several_rows() {
        let parsed = parse(br#" [{"a":1},{},{"a":2}] "#).unwrap();
        assert_eq!(parsed.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1]);
        assert!(parse(b"[]").unwrap().is_empty());
        for payload in ["[{}", "[1]", "[{},2]", "[{}]]", "[[{}]]", "[{}]x"] {
            assert!(parse(payload.as_bytes()).is_err(), "{payload}");
        }
    }

    #[test]
    fn only_objects_will_do() {
        for payload in ["", "x", "5", "{}{}", "{\"a\":1", "{\"a\":01}", "\"s\""] {
            let error = parse(payload.as_bytes()).unwrap_err();
            assert!(error.starts_with("not a JSON object"), "{payload}: {error}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(parse(deep.as_bytes()).is_err());
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_huge_integer_is_refused_and_a_huge_double_is_not() {
        assert!(parse(b"{\"a\":123456789012345678901234567891}").is_err());
        assert!(parse(b"{\"a\":{\"b\":[123456789012345678901234567891]}}").is_err());
        assert!(parse(b"{\"a\":-9223372036854775809}").is_err());
        assert!(parse(b"{\"a\":-10000000000000000001}").is_err());
        assert_eq!(one(r#"{"a":-9223372036854775808}"#), Value::Int(i64::MIN));
        assert!(parse(b"{\"a\":1e300}").is_ok());
        assert!(parse(b"{\"a\":100000000000000000000}").is_ok());
    }
}
