//! JSON lines: one object a line, its fields in any order, any of them absent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, Read};

use catalog::{Error, Result};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::{Deserializer, Value};

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

fn parse(line: &[u8], place: &dyn Fn() -> String) -> Result<Vec<(String, Value)>> {
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
        fields: Vec<(String, Value)>,
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
            if cells[at].replace(cell(value, options)).is_some() {
                return Err(format!("field {name:?} is there twice"));
            }
        }
        let cells = cells.into_iter();
        Ok(cells.map(|cell| cell.unwrap_or(Cell::Null)).collect())
    }
}

fn cell(value: Value, options: &LoadOptions) -> Cell<'static> {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Cell::Int(int),
            // The digits count, and no column of integers holds them.
            (None, Some(huge)) => Cell::Open(Cow::Owned(huge.to_string())),
            (None, None) => number.as_f64().map_or(Cell::Null, Cell::Float),
        },
        Value::String(text) if options.notation.nulls.contains(&text) => Cell::Null,
        Value::String(text) => Cell::Text(Cow::Owned(text)),
        nested => Cell::Nested(nested.to_string()),
    }
}

/// The fields of an object in their order.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, Value)>;

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
