//! What was done to a table, in words people understand.

use iceberg::spec::{Operation, TableMetadata};

use super::files::{FileChanges, Files, rows};
use super::shape::ShapeChanges;

/// All that `after` changed of `before`, such as `appended 2 files (1,000 rows), added
/// column x double`; files are described by `changes`.
pub(crate) fn described(
    before: &TableMetadata,
    after: &TableMetadata,
    changes: &FileChanges,
) -> String {
    let mut words = files_words(changes, only_compacted(before, after));
    words.extend(ShapeChanges::between(before, after).words());
    match words.is_empty() {
        true => "rewrote metadata only".to_owned(),
        false => words.join(", "),
    }
}

/// Whether every snapshot that `after` has more than `before` only rearranged rows.
pub(crate) fn only_compacted(before: &TableMetadata, after: &TableMetadata) -> bool {
    let mut new = after
        .snapshots()
        .filter(|snapshot| before.snapshot_by_id(snapshot.snapshot_id()).is_none())
        .peekable();
    new.peek().is_some() && new.all(|by| by.summary().operation == Operation::Replace)
}

fn files_words(changes: &FileChanges, compacted: bool) -> Vec<String> {
    let (added, removed) = (&changes.added, &changes.removed);
    let mut words = Vec::new();
    match (removed.len(), added.len()) {
        (0, 0) => {}
        (0, _) => words.push(format!("appended {}", counted(added))),
        (_, 0) => words.push(format!("deleted {}", counted(removed))),
        (from, to) if compacted => {
            words.push(format!("compacted {} into {to}", plural(from, "file")));
        }
        (from, to) => {
            let (were, are) = (rows(removed), rows(added));
            let what = match were > are {
                true => "deleted rows: replaced",
                false => "changed rows: replaced",
            };
            words.push(format!("{what} {} by {to}", plural(from, "file")));
        }
    }
    if !changes.added_deletes.is_empty() {
        let files = plural(changes.added_deletes.len(), "delete file");
        words.push(format!("deleted rows: added {files}"));
    }
    if !changes.removed_deletes.is_empty() && removed.is_empty() {
        let files = plural(changes.removed_deletes.len(), "delete file");
        words.push(format!("removed {files}"));
    }
    words
}

fn counted(files: &Files) -> String {
    let rows = rows(files);
    let unit = if rows == 1 { "row" } else { "rows" };
    format!("{} ({} {unit})", plural(files.len(), "file"), grouped(rows))
}

/// `1 file`, `2 files`, `1,200 files`.
pub(crate) fn plural(count: usize, unit: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {unit}{s}", grouped(count as u64))
}

/// With commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_units_counted() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(plural(1, "file"), "1 file");
        assert_eq!(plural(1_200, "file"), "1,200 files");
    }
}
