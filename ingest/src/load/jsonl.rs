//! JSON lines: one object a line, its fields in any order, any of them absent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, Read};

use catalog::{Error, Result};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::cell::{Cell, Row, Sink};
use super::format::{self, Format};
use super::input::{Input, Section};
use super::options::LoadOptions;
use super::rows::{LONGEST_ROW, place};

/// Columns a file may have: more are field names made from data.
const MOST_COLUMNS: usize = 1_000;

/// Hands every row to `sink`.
pub(super) fn read(
    input: &Input,
    section: Section,
    options: &LoadOptions,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut text = format::text(input, section)?;
    let mut columns = Columns::default();
    let mut line = Vec::new();
    for at in 1.. {
        line.clear();
        let mut limited = (&mut text).take(LONGEST_ROW);
        let count = limited
            .read_until(b'\n', &mut line)
            .map_err(|e| input.broken(e))?;
        if count == 0 {
            break;
        }
        let place = || place(input, Format::Jsonl, at);
        if count as u64 == LONGEST_ROW && line.last() != Some(&b'\n') {
            return Err(Error::invalid(format!(
                "{}: the line is over 64 MiB",
                place()
            )));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let fields = parse(&line, &place)?;
        let cells = columns.place(fields, options).map_err(|why| {
            Error::invalid(format!("{}: {why}", place()))
                .with_hint("every line is one object with distinct field names")
        })?;
        sink.row(&Row {
            at,
            names: &columns.names,
            cells: &cells,
        })?;
    }
    Ok(())
}

/// The fields of a line as they are written: parsed numbers would have lost digits.
fn parse<'l>(line: &'l [u8], place: &dyn Fn() -> String) -> Result<Vec<(String, &'l RawValue)>> {
    let text = std::str::from_utf8(line).map_err(|_| format::not_utf8(&place()))?;
    let mut json = Deserializer::from_str(text);
    let fields = json.deserialize_map(Fields);
    let fields = fields.and_then(|fields| json.end().map(|()| fields));
    fields.map_err(|e| {
        Error::invalid(format!("{}: this is no JSON object: {e}", place()))
            .with_hint("write one object a line; `jq -c '.[]'` makes lines of an array")
    })
}

/// The columns met so far.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    index: HashMap<String, usize>,
}

impl Columns {
    /// The fields of an object as cells in the order of the columns.
    fn place(
        &mut self,
        fields: Vec<(String, &RawValue)>,
        options: &LoadOptions,
    ) -> Result<Vec<Cell<'static>>, String> {
        let mut cells: Vec<Option<Cell<'static>>> = vec![None; self.names.len()];
        for (name, value) in fields {
            let at = match self.index.get(&name) {
                Some(at) => *at,
                None if self.names.len() == MOST_COLUMNS => {
                    return Err(format!("more than {MOST_COLUMNS} different fields"));
                }
                None => {
                    self.index.insert(name.clone(), self.names.len());
                    self.names.push(name.clone());
                    cells.push(None);
                    self.names.len() - 1
                }
            };
            if cells[at].replace(cell(value.get(), options)?).is_some() {
                return Err(format!("field {name:?} is there twice"));
            }
        }
        let cells = cells.into_iter();
        Ok(cells.map(|cell| cell.unwrap_or(Cell::Null)).collect())
    }
}

/// The cell of a value, which is JSON.
fn cell(json: &str, options: &LoadOptions) -> Result<Cell<'static>, String> {
    let wrong = |e: serde_json::Error| e.to_string();
    Ok(match json.as_bytes().first() {
        None | Some(b'n') => Cell::Null,
        Some(b't') => Cell::Bool(true),
        Some(b'f') => Cell::Bool(false),
        Some(b'"') => {
            let text: String = serde_json::from_str(json).map_err(wrong)?;
            match options.notation.nulls.contains(&text) {
                true => Cell::Null,
                false => Cell::Text(Cow::Owned(text)),
            }
        }
        Some(b'{' | b'[') => Cell::Nested(compact(json)),
        Some(_) => number(json)?,
    })
}

fn number(json: &str) -> Result<Cell<'static>, String> {
    let digits = json.strip_prefix('-').unwrap_or(json);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(match json.parse() {
            Ok(int) => Cell::Int(int),
            // The digits count, and no column of integers holds them.
            Err(_) => Cell::Open(Cow::Owned(json.to_owned())),
        });
    }
    match json.parse() {
        Ok(value) if f64::is_finite(value) => Ok(Cell::Float(value)),
        _ => Err(format!("{json} is out of the range of numbers")),
    }
}

/// JSON without the blanks between its parts.
fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let mut compact = json.to_owned();
    compact.retain(|c| {
        if !in_text && c.is_ascii_whitespace() {
            return false;
        }
        in_text ^= c == '"' && !escaped;
        escaped = in_text && c == '\\' && !escaped;
        true
    });
    compact
}

/// The fields of an object in their order.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> Result<Cell<'static>, String> {
        cell(json, &LoadOptions::default())
    }

    #[test]
    fn no_digit_of_an_integer_is_lost() {
        for int in [
            "9223372036854775808",
            "36893488147419103233",
            "-9223372036854775809",
        ] {
            assert_eq!(one(int), Ok(Cell::Open(int.into())));
        }
        assert_eq!(one("-9223372036854775808"), Ok(Cell::Int(i64::MIN)));
        assert_eq!(one("-1.5e2"), Ok(Cell::Float(-150.0)));
        assert!(one("1e999").is_err());
    }

    #[test]
    fn nested_values_stay_as_they_are_written() {
        let json = r#"{ "b c" : [ 1.0, 36893488147419103233 ],
            "a\" d\\": "x \"y" }"#;
        let compact = r#"{"b c":[1.0,36893488147419103233],"a\" d\\":"x \"y"}"#;
        assert_eq!(one(json), Ok(Cell::Nested(compact.into())));
    }
}
