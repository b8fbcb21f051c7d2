//! What commands print: query results as table, CSV or JSON, and aligned lists.
//!
//! Everything goes through [`print`], so that a closed pipe (`pumphouse log | head`)
//! ends the command quietly instead of with a panic.

use std::io::{self, BufWriter, Write};

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, WriterBuilder as JsonBuilder};
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use catalog::{Error, Result};
use clap::ValueEnum;
use futures::{Stream, StreamExt};
use serde_json::{Map, Value};

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns aligned for reading
    #[default]
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON array of objects
    Json,
}

/// Prints the rows of `batches` to stdout and returns how many there were.
pub(crate) async fn print_rows(
    format: Format,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
) -> Result<usize> {
    let mut out = Watched {
        inner: BufWriter::new(io::stdout().lock()),
        error: None,
    };
    let written = write_rows(format, schema, batches, &mut out).await;
    match out.error {
        Some(error) => Err(cannot_write(error)),
        None => written,
    }
}

/// A writer that keeps the first error: the CSV writer passes on only its text, which
/// does not tell a closed pipe from a full disk.
struct Watched<W> {
    inner: W,
    error: Option<io::Error>,
}

impl<W> Watched<W> {
    fn keep<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| {
            let kind = error.kind();
            self.error.get_or_insert(error);
            kind.into()
        })
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.inner.write(bytes);
        self.keep(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.inner.flush();
        self.keep(done)
    }
}

/// Writes the rows of `batches`; CSV and JSON as they come, a table once all are there.
async fn write_rows(
    format: Format,
    schema: SchemaRef,
    mut batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    out: &mut impl Write,
) -> Result<usize> {
    let mut rows = 0;
    match format {
        Format::Table => {
            let mut all = Vec::new();
            while let Some(batch) = batches.next().await {
                all.push(batch?);
            }
            rows = all.iter().map(RecordBatch::num_rows).sum();
            writeln!(out, "{}", to_table(schema, &all)?).map_err(cannot_write)?;
        }
        Format::Csv => {
            let mut writer = CsvBuilder::new().with_header(true).build(&mut *out);
            // An empty batch first, so that no rows still give the header.
            writer
                .write(&RecordBatch::new_empty(schema))
                .map_err(cannot_format)?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                rows += batch.num_rows();
                writer.write(&batch).map_err(cannot_format)?;
            }
        }
        Format::Json => {
            let builder = JsonBuilder::new().with_explicit_nulls(true);
            let mut writer = builder.build::<_, JsonArray>(&mut *out);
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                rows += batch.num_rows();
                writer.write(&batch).map_err(cannot_format)?;
            }
            writer.finish().map_err(cannot_format)?;
            drop(writer);
            writeln!(out).map_err(cannot_write)?;
        }
    }
    out.flush().map_err(cannot_write)?;
    Ok(rows)
}

/// `batches` as one table with a frame; no rows still show the columns of `schema`.
pub(crate) fn to_table(schema: SchemaRef, batches: &[RecordBatch]) -> Result<String> {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_display_error(true);
    let mut all = vec![RecordBatch::new_empty(schema)];
    all.extend_from_slice(batches);
    let table = pretty_format_batches_with_options(&all, &options);
    Ok(table.map_err(cannot_format)?.to_string())
}

/// The rows of `batch` as JSON objects, nulls included.
pub(crate) fn to_json_rows(batch: &RecordBatch) -> Result<Vec<Map<String, Value>>> {
    let builder = JsonBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, JsonArray>(Vec::new());
    writer.write(batch).map_err(cannot_format)?;
    writer.finish().map_err(cannot_format)?;
    let text = writer.into_inner();
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text)
        .map_err(|e| Error::internal("rows do not read back as JSON").with_source(e))
}

/// A list with a header, its columns aligned: short things for people to read.
pub(crate) fn to_list<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|name| name.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(header)];
    lines.extend(
        rows.iter()
            .map(|row| line(row.each_ref().map(String::as_str))),
    );
    lines.join("\n")
}

/// Prints `text` and a line end to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(cannot_write)
}

/// Prints `value` to stdout as JSON, indented.
pub(crate) fn print_json(value: &Value) -> Result<()> {
    print(&format!("{value:#}"))
}

/// Prints `text` and a line end to stderr; nothing helps when that is closed.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// True when `error` only says that the reader of our output has gone.
pub(crate) fn is_closed(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        source = cause.source();
    }
    false
}

fn cannot_write(error: io::Error) -> Error {
    Error::unavailable("cannot write to the output").with_source(error)
}

fn cannot_format(error: ArrowError) -> Error {
    Error::internal("cannot print these rows").with_source(error)
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
