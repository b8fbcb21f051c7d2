//! Sheets of Excel workbooks, read cell by cell; only the shared texts are in memory.

use std::borrow::Cow;
use std::io::BufReader;

use calamine::{DataRef, ExcelDateTime, Reader, Xlsx, XlsxError};
use catalog::{Error, Result};

use super::cell::{Cell, Row, Sink};
use super::format::Format;
use super::input::{Input, Section};
use super::options::LoadOptions;
use super::rows::{self, column_name, place};
use super::time;

/// Integers up to this size are exact in Excel's numbers.
const EXACT: f64 = (1_u64 << 53) as f64;

/// Hands every row of the sheet to `sink`.
pub(super) fn read(
    input: &Input,
    section: Section,
    options: &LoadOptions,
    sink: &mut dyn Sink,
) -> Result<()> {
    let broken = |error: XlsxError| input.broken(error);
    let mut workbook: Xlsx<_> = Xlsx::new(BufReader::new(section)).map_err(broken)?;
    let sheets = workbook.sheet_names();
    let sheet = match &options.sheet {
        Some(sheet) => sheet.clone(),
        None => sheets.first().cloned().unwrap_or_default(),
    };
    if !sheets.contains(&sheet) {
        return Err(
            Error::not_found(format!("{} has no sheet {sheet:?}", input.name))
                .with_hint(format!("its sheets are {}", sheets.join(", "))),
        );
    }
    let since_1904 = workbook.has_1904_epoch();
    let mut reader = workbook.worksheet_cells_reader(&sheet).map_err(broken)?;
    let mut sheet = Sheet {
        input,
        options,
        first: 0,
        names: None,
        sink,
    };
    let mut row: Vec<(u32, Cell<'_>)> = Vec::new();
    let mut at = 0;
    while let Some(found) = reader.next_cell().map_err(broken)? {
        let (line, column) = found.get_position();
        if line != at && !row.is_empty() {
            sheet.row(at, std::mem::take(&mut row))?;
        }
        at = line;
        let cell = cell(found.get_value(), since_1904, options);
        if cell != Cell::Null {
            row.push((column, cell));
        }
    }
    if !row.is_empty() {
        sheet.row(at, row)?;
    }
    match sheet.names {
        Some(_) => Ok(()),
        None => Err(
            Error::invalid(format!("{}: the sheet is empty", input.name))
                .with_hint("name another with --sheet"),
        ),
    }
}

/// A sheet on its way to the sink.
struct Sheet<'s> {
    input: &'s Input,
    options: &'s LoadOptions,
    /// The column the header begins in.
    first: u32,
    names: Option<Vec<String>>,
    sink: &'s mut dyn Sink,
}

impl Sheet<'_> {
    /// Takes the cells of row `at`, counted from 0, that hold something.
    fn row(&mut self, at: u32, cells: Vec<(u32, Cell<'_>)>) -> Result<()> {
        let line = u64::from(at) + 1;
        let names = match &self.names {
            Some(names) => names,
            None => {
                self.first = cells.first().map_or(0, |(column, _)| *column);
                let last = cells.last().map_or(0, |(column, _)| *column);
                let width = last.saturating_sub(self.first) as usize + 1;
                if self.options.header {
                    self.names = Some(self.header(line, &cells, width)?);
                    return Ok(());
                }
                self.names.insert((0..width).map(column_name).collect())
            }
        };
        let mut filled = vec![Cell::Null; names.len()];
        for (column, cell) in cells {
            let place_of = column.checked_sub(self.first).map(|at| at as usize);
            let Some(slot) = place_of.and_then(|at| filled.get_mut(at)) else {
                return Err(Error::invalid(format!(
                    "{}: a cell stands beside the columns of the first row: {:?}",
                    place(self.input, Format::Xlsx, line),
                    cell.shown()
                ))
                .with_hint("give every column a name, or clear the cell"));
            };
            *slot = cell;
        }
        self.sink.row(&Row {
            at: line,
            names,
            cells: &filled,
        })
    }

    fn header(&self, line: u64, cells: &[(u32, Cell<'_>)], width: usize) -> Result<Vec<String>> {
        let mut texts = vec![String::new(); width];
        for (column, cell) in cells {
            let at = column.saturating_sub(self.first) as usize;
            if let Some(text) = texts.get_mut(at) {
                *text = cell.shown();
            }
        }
        let place = place(self.input, Format::Xlsx, line);
        rows::header(&place, texts.iter().map(String::as_str))
    }
}

fn cell<'a>(value: &DataRef<'a>, since_1904: bool, options: &LoadOptions) -> Cell<'a> {
    let text = |text: Cow<'a, str>| match options.notation.is_null(&text) {
        true => Cell::Null,
        false => Cell::Text(text),
    };
    match value {
        // An error such as #N/A says that there is no value.
        DataRef::Empty | DataRef::Error(_) => Cell::Null,
        DataRef::Bool(value) => Cell::Bool(*value),
        DataRef::Int(value) => Cell::Int(*value),
        DataRef::Float(value) => number(*value),
        DataRef::String(value) => text(Cow::Owned(value.clone())),
        DataRef::SharedString(value) => text(Cow::Borrowed(value)),
        DataRef::DateTime(value) => moment(*value, since_1904),
        DataRef::DateTimeIso(value) | DataRef::DurationIso(value) => {
            text(Cow::Owned(value.clone()))
        }
    }
}

/// Excel has but one kind of number.
fn number(value: f64) -> Cell<'static> {
    match value.fract() == 0.0 && value.abs() <= EXACT {
        true => Cell::Int(value as i64),
        false => Cell::Float(value),
    }
}

fn moment(value: ExcelDateTime, since_1904: bool) -> Cell<'static> {
    let micros = match value.is_duration() {
        true => None,
        false => time::excel(value.as_f64(), since_1904),
    };
    // A span of time is a number of days.
    micros.map_or_else(|| number(value.as_f64()), Cell::Micros)
}
