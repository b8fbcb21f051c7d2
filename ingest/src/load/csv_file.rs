//! CSV files: RFC 4180 with any delimiter, read one record at a time.

use std::borrow::Cow;
use std::cell::Cell as Shared;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use catalog::{Error, Result};
use csv::{ErrorKind, Position, ReaderBuilder, StringRecord};

use super::cell::{Cell, Row, Sink};
use super::format::{self, Format};
use super::input::{Input, Section};
use super::options::LoadOptions;
use super::rows::{self, LONGEST_ROW, column_name, place};
use crate::quotes::Quotes;

/// Hands every row to `sink`.
pub(super) fn read(
    input: &Input,
    section: Section,
    options: &LoadOptions,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut text = format::text(input, section)?;
    let start = text.fill_buf().map_err(|e| input.broken(e))?;
    let delimiter = options.delimiter.of(start);
    let since_row = Rc::new(Shared::new(0));
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(256 << 10)
        .from_reader(Bounded {
            inner: text,
            since_row: Rc::clone(&since_row),
            quotes: Quotes::new(delimiter),
        });
    let mut record = StringRecord::new();
    let mut names: Option<Vec<String>> = None;
    while reader
        .read_record(&mut record)
        .map_err(|e| explain(input, e))?
    {
        since_row.set(0);
        let at = record.position().map_or(0, Position::line);
        let names = match &names {
            Some(names) => names,
            None if options.header => {
                names = Some(rows::header(&place(input, Format::Csv, at), record.iter())?);
                continue;
            }
            None => names.insert((0..record.len()).map(column_name).collect()),
        };
        let cells = record
            .iter()
            .map(|text| match options.notation.is_null(text) {
                true => Cell::Null,
                false => Cell::Open(Cow::Borrowed(text)),
            });
        let cells: Vec<Cell<'_>> = cells.collect();
        sink.row(&Row {
            at,
            names,
            cells: &cells,
        })?;
    }
    match names {
        Some(_) => Ok(()),
        None => Err(Error::invalid(format!("{} is empty", input.name))
            .with_hint("leave it out, or look at what should have written it")),
    }
}

/// Ends the reading where a row does not end.
struct Bounded<R> {
    inner: R,
    since_row: Rc<Shared<u64>>,
    quotes: Quotes,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row.get() > LONGEST_ROW {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a row does not end within 64 MiB: is a quote not closed?",
            ));
        }
        let count = self.inner.read(buffer)?;
        self.quotes.follow(buffer.get(..count).unwrap_or_default());
        if count == 0 && !buffer.is_empty() && self.quotes.is_open() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a quote is not closed: the rest of the file would be one cell",
            ));
        }
        self.since_row.set(self.since_row.get() + count as u64);
        Ok(count)
    }
}

fn explain(input: &Input, error: csv::Error) -> Error {
    let line = error.position().map_or(1, Position::line);
    let place = place(input, Format::Csv, line);
    match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => Error::invalid(format!(
            "{place}: the row has {len} cells, and the first one {expected_len}"
        ))
        .with_hint("mend the line; a cell that holds the delimiter stands in quotes"),
        ErrorKind::Io(why) if why.kind() == io::ErrorKind::InvalidInput => {
            Error::invalid(format!("{}: {why}", input.name))
                .with_hint("close the quote, or double those within a cell")
        }
        ErrorKind::Utf8 { .. } => format::not_utf8(&place),
        _ => input.broken(error),
    }
}
