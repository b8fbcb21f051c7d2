//! Rows as messages.

use catalog::{Error, Result};
use csv::StringRecord;

use super::json;
use super::table::Table;
use super::topic::{Part, Template, unfit};
use crate::simulate::publisher::Message;

/// A part of the topic, resolved for one file.
#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    /// Position of a column.
    Column(usize),
}

/// How one file's rows become messages.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    topic: Vec<Piece>,
    /// Positions of the columns in the payload.
    payload: Vec<usize>,
    time_column: Option<usize>,
}

impl Encoder {
    /// Finds the template's columns in `table`. `{file}` is the file's name without
    /// extension, unless there is such a column.
    ///
    /// Errors: `InvalidInput` naming the column that is missing.
    pub(super) fn new(table: &Table, template: &Template, time: Option<&str>) -> Result<Self> {
        let topic = template
            .parts
            .iter()
            .map(|part| resolve(part, table))
            .collect::<Result<Vec<_>>>()?;
        let in_topic = |position: usize| {
            topic
                .iter()
                .any(|piece| matches!(piece, Piece::Column(p) if *p == position))
        };
        let payload = (0..table.columns.len())
            .filter(|position| !in_topic(*position))
            .collect();
        let time_column = time
            .map(|name| position(table, name).ok_or_else(|| missing(table, "--time-column", name)))
            .transpose()?;
        Ok(Self {
            topic,
            payload,
            time_column,
        })
    }

    /// The messages of the rows of `table`, in order.
    pub(super) fn messages<'a>(
        &'a self,
        table: &'a Table,
    ) -> impl Iterator<Item = Result<Message>> + 'a {
        table.rows().map(move |row| {
            let (line, cells) = row?;
            Ok(Message {
                topic: self.topic(table, line, &cells)?,
                payload: self.payload(table, &cells),
            })
        })
    }

    fn topic(&self, table: &Table, line: u64, cells: &StringRecord) -> Result<String> {
        let mut topic = String::new();
        for piece in &self.topic {
            match piece {
                Piece::Literal(literal) => topic.push_str(literal),
                Piece::Column(position) => {
                    let value = &cells[*position];
                    if let Some(fault) = unfit(value) {
                        let name = &table.columns[*position];
                        let what = format!("{name:?} {fault}, so it cannot be part of the topic");
                        return Err(table.wrong(line, &what));
                    }
                    topic.push_str(value);
                }
            }
        }
        Ok(topic)
    }

    fn payload(&self, table: &Table, cells: &StringRecord) -> Vec<u8> {
        let mut out = vec![b'{'];
        for position in &self.payload {
            if out.len() > 1 {
                out.push(b',');
            }
            let as_text = self.time_column == Some(*position);
            json::write_field(
                &mut out,
                &table.columns[*position],
                &cells[*position],
                as_text,
            );
        }
        out.push(b'}');
        out
    }
}

fn resolve(part: &Part, table: &Table) -> Result<Piece> {
    let name = match part {
        Part::Literal(literal) => return Ok(Piece::Literal(literal.clone())),
        Part::Column(name) => name,
    };
    if let Some(position) = position(table, name) {
        return Ok(Piece::Column(position));
    }
    if name != "file" {
        return Err(missing(table, "--topic", name));
    }
    let stem = table
        .stem()
        .to_str()
        .filter(|stem| unfit(stem).is_none())
        .ok_or_else(|| {
            Error::invalid(format!(
                "the name of {} cannot be part of a topic",
                table.path.display()
            ))
            .with_hint("rename the file, or write the topic without {file}")
        })?;
    Ok(Piece::Literal(stem.to_owned()))
}

fn position(table: &Table, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| column == name)
}

fn missing(table: &Table, flag: &str, name: &str) -> Error {
    Error::invalid(format!(
        "{flag}: {} has no column {name:?}",
        table.path.display()
    ))
    .with_hint(format!("its columns are {}", table.columns.join(", ")))
}
