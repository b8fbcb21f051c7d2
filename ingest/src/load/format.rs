//! Which format a file has, and what its text is wrapped in.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::str::FromStr;

use catalog::{Error, Result};
use flate2::bufread::MultiGzDecoder;

use super::input::{Input, Section};
use super::progress::Progress;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Extensions that tell a format; those of text also before `.gz` and `.zst`.
pub(super) const EXTENSIONS: [&str; 7] = [
    ".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".xlsx", ".parquet",
];

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Cells separated by commas, semicolons, tabs or the like.
    Csv,
    /// One sheet of an Excel workbook.
    Xlsx,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Jsonl,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "csv" => Ok(Self::Csv),
            "xlsx" => Ok(Self::Xlsx),
            "parquet" => Ok(Self::Parquet),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err("give csv, xlsx, parquet or jsonl".to_owned()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::Xlsx => "XLSX",
            Self::Parquet => "Parquet",
            Self::Jsonl => "JSON lines",
        })
    }
}

/// The format that a file's name tells.
pub(super) fn by_extension(name: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    let text = name
        .strip_suffix(".gz")
        .or_else(|| name.strip_suffix(".zst"));
    let (_, extension) = text.unwrap_or(&name).rsplit_once('.')?;
    match extension {
        "csv" | "tsv" | "txt" => Some(Format::Csv),
        "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
        "xlsx" if text.is_none() => Some(Format::Xlsx),
        "parquet" if text.is_none() => Some(Format::Parquet),
        _ => None,
    }
}

/// The format of a file: by its first bytes, and for text by its name.
///
/// # Errors
/// `InvalidInput` for an empty file and for those that hold something else.
pub(super) fn detect(input: &Input, progress: &Progress) -> Result<Format> {
    let mut head = [0; 8];
    let mut section = input.open(progress)?;
    let mut filled = 0;
    while filled < head.len() {
        match section.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => return Err(input.broken(error)),
        }
    }
    let named = by_extension(&input.name);
    match &head[..filled] {
        [] => Err(Error::invalid(format!("{} is empty", input.name))
            .with_hint("leave it out, or look at what should have written it")),
        [b'P', b'A', b'R', b'1', ..] => Ok(Format::Parquet),
        [b'P', b'K', 3, 4, ..] => Ok(Format::Xlsx),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Err(Error::unsupported(format!(
            "{} is a workbook of an Excel before 2007",
            input.name
        ))
        .with_hint("save it as .xlsx")),
        _ if matches!(named, Some(Format::Parquet | Format::Xlsx)) => Err(Error::invalid(format!(
            "{} is not what its name says: its first bytes are others",
            input.name
        ))
        .with_hint("give --format, or fetch the file again")),
        [b'{', ..] => Ok(Format::Jsonl),
        _ => Ok(named.unwrap_or(Format::Csv)),
    }
}

/// The file's text from the beginning: decompressed, without a byte order mark.
///
/// # Errors
/// `Unsupported` for text in UTF-16.
pub(super) fn text(input: &Input, section: Section) -> Result<Box<dyn BufRead>> {
    let mut raw = BufReader::with_capacity(BUFFER, section);
    let head = raw.fill_buf().map_err(|e| input.broken(e))?;
    let mut text: Box<dyn BufRead> = match head {
        [0x1f, 0x8b, ..] => {
            let plain = MultiGzDecoder::new(raw);
            Box::new(BufReader::with_capacity(BUFFER, plain))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let plain = zstd::Decoder::with_buffer(raw).map_err(|e| input.broken(e))?;
            Box::new(BufReader::with_capacity(BUFFER, plain))
        }
        _ => Box::new(raw),
    };
    let head = text.fill_buf().map_err(|e| input.broken(e))?;
    let skipped = match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Err(Error::unsupported(format!("{} is in UTF-16", input.name))
                .with_hint("convert it first: iconv -f UTF-16 -t UTF-8 OLD > NEW"));
        }
        [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    };
    text.consume(skipped);
    Ok(text)
}

/// That a line of text is not UTF-8.
pub(super) fn not_utf8(place: &str) -> Error {
    Error::invalid(format!("{place}: the text is not UTF-8")).with_hint(
        "convert the file first, from Latin-1 for instance: iconv -f LATIN1 -t UTF-8 OLD > NEW",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        for (name, format) in [
            ("a.csv", Some(Format::Csv)),
            ("A.CSV.GZ", Some(Format::Csv)),
            ("a.tsv.zst", Some(Format::Csv)),
            ("x/y.ndjson", Some(Format::Jsonl)),
            ("a.xlsx", Some(Format::Xlsx)),
            ("a.xlsx.gz", None),
            ("a.parquet", Some(Format::Parquet)),
            ("readme", None),
            ("a.md", None),
        ] {
            assert_eq!(by_extension(name), format, "{name}");
        }
    }
}
