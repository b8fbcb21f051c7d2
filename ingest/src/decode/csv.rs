//! CSV payloads (RFC 4180): lines of values, named by the stream or by a header line.

use super::rows::Problem;
use crate::quotes::Quotes;

/// Gives the names and the values of each line of `payload` to `row`, until that fails.
/// `fields` are the names; without any the first line has them.
///
/// # Errors
/// What `row` says, or why the payload is no CSV.
pub(super) fn rows(
    payload: &[u8],
    fields: &[String],
    mut row: impl FnMut(&[String], &csv::StringRecord) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let payload = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let mut quotes = Quotes::new(b',');
    quotes.follow(payload);
    if quotes.is_stray() {
        return Err(Problem::Dead("not CSV: a quote within a value".into()));
    }
    if quotes.is_open() {
        return Err(Problem::Dead("not CSV: a quote is not closed".into()));
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(payload);
    let mut record = csv::StringRecord::new();
    let mut header = fields.to_vec();
    while read(&mut reader, &mut record)? {
        if header.is_empty() {
            header = record.iter().map(str::to_owned).collect();
            continue;
        }
        if record.len() != header.len() {
            return Err(Problem::Dead(format!(
                "not CSV of this stream: {} values where {} belong",
                record.len(),
                header.len()
            )));
        }
        row(&header, &record)?;
    }
    Ok(())
}

fn read(reader: &mut csv::Reader<&[u8]>, record: &mut csv::StringRecord) -> Result<bool, Problem> {
    reader
        .read_record(record)
        .map_err(|e| Problem::Dead(format!("not CSV: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(payload: &[u8], fields: &[&str]) -> Result<Vec<Vec<(String, String)>>, Problem> {
        let fields: Vec<String> = fields.iter().map(|&f| f.to_owned()).collect();
        let mut all = Vec::new();
        rows(payload, &fields, |names, record| {
            let values = record.iter().map(str::to_owned);
            all.push(names.iter().cloned().zip(values).collect());
            Ok(())
        })?;
        Ok(all)
    }

    fn row(values: &[(&str, &str)]) -> Vec<(String, String)> {
        values
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn lines_are_rows() {
        let expected = [
            row(&[("a", "1"), ("b", "x, \"y\"\nz")]),
            row(&[("a", ""), ("b", "2")]),
        ];
        let lines = "1,\"x, \"\"y\"\"\nz\"\r\n,2";
        assert_eq!(parse(lines.as_bytes(), &["a", "b"]).unwrap(), expected);
        let headed = format!("\u{feff}a,b\n{lines}\n\n");
        assert_eq!(parse(headed.as_bytes(), &[]).unwrap(), expected);
        assert!(parse(b"a,b\n", &[]).unwrap().is_empty());
        assert!(parse(b"", &["a"]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_csv_is_refused() {
        let cases: [&[u8]; 7] = [
            b"1,2,3",
            b"1",
            b"1,2\n3",
            b"1,\"2",
            b"1,2\" pipe\n3,\"4\n5,6",
            b"1,\"2\"x",
            b"1,2\"\"",
        ];
        for payload in cases {
            assert!(parse(payload, &["a", "b"]).is_err(), "{payload:?}");
        }
        assert!(parse(b"1,\xff", &["a", "b"]).is_err());
    }
}
