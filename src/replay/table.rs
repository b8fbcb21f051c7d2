//! A CSV file with a header.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use catalog::{Error, Result};
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use ingest::load::Delimiter;

/// A file known to have a header.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) columns: Vec<String>,
    delimiter: u8,
}

impl Table {
    /// Reads the header of the file at `path`.
    ///
    /// Errors: `NotFound` or `InvalidInput` when it cannot be read, is empty, or has a
    /// column without a name or twice the same.
    pub(super) fn open(path: &Path, delimiter: Delimiter) -> Result<Self> {
        let delimiter = delimiter.of(&first_line(path)?);
        let mut table = Self {
            path: path.to_owned(),
            columns: Vec::new(),
            delimiter,
        };
        let mut reader = table.reader()?;
        let header = reader.headers().map_err(|e| table.explain(e))?;
        table.columns = header.iter().map(str::to_owned).collect();
        table.check_names()?;
        Ok(table)
    }

    /// The rows with their line numbers.
    pub(super) fn rows(&self) -> Box<dyn Iterator<Item = Result<(u64, StringRecord)>> + '_> {
        match self.reader() {
            Ok(reader) => Box::new(reader.into_records().map(|record| {
                let record = record.map_err(|e| self.explain(e))?;
                let line = record.position().map_or(0, csv::Position::line);
                Ok((line, record))
            })),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    /// The file's name without folder and extension.
    pub(super) fn stem(&self) -> &OsStr {
        self.path.file_stem().unwrap_or_default()
    }

    /// An error about one line of the file.
    pub(super) fn wrong(&self, line: u64, what: &str) -> Error {
        Error::invalid(format!("{}, line {line}: {what}", self.path.display()))
            .with_hint("no row of any file has been sent; correct the line and run again")
    }

    fn reader(&self) -> Result<Reader<File>> {
        let file = open(&self.path)?;
        Ok(ReaderBuilder::new()
            .delimiter(self.delimiter)
            .from_reader(file))
    }

    fn check_names(&self) -> Result<()> {
        let named: Vec<_> = self
            .columns
            .iter()
            .filter(|name| !name.is_empty())
            .collect();
        if named.is_empty() {
            return Err(
                Error::invalid(format!("{} has no header line", self.path.display()))
                    .with_hint("the first line must name the columns"),
            );
        }
        for (n, name) in self.columns.iter().enumerate() {
            if name.is_empty() {
                return Err(self.wrong(1, &format!("column {} has no name", n + 1)));
            }
            if self.columns[..n].contains(name) {
                return Err(self.wrong(1, &format!("two columns are named {name:?}")));
            }
        }
        Ok(())
    }

    fn explain(&self, error: csv::Error) -> Error {
        let line = error.position().map_or(1, csv::Position::line);
        match error.kind() {
            ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => self.wrong(
                line,
                &format!("{len} cells where the header has {expected_len}"),
            ),
            ErrorKind::Utf8 { .. } => self
                .wrong(line, "the text is not UTF-8")
                .with_hint("convert the file first: iconv -f LATIN1 -t UTF-8 OLD > NEW"),
            _ => cannot_read(&self.path).with_source(error),
        }
    }
}

/// The first line, which tells what separates the cells.
fn first_line(path: &Path) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(open(path)?)
        .read_until(b'\n', &mut line)
        .map_err(|e| cannot_read(path).with_source(e))?;
    Ok(line)
}

fn open(path: &Path) -> Result<File> {
    match File::open(path) {
        Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_dir()) => {
            Err(Error::invalid(format!("{} is a folder", path.display()))
                .with_hint(format!("name its files, such as {}/*.csv", path.display())))
        }
        Ok(file) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::not_found(
            format!("there is no file {}", path.display()),
        )
        .with_hint("check the name and the folder you are in")),
        Err(error) => Err(cannot_read(path).with_source(error)),
    }
}

fn cannot_read(path: &Path) -> Error {
    Error::invalid(format!("cannot read {}", path.display()))
        .with_hint("is it a CSV file that you may read?")
}
