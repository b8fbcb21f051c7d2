//! What a load will do and has done, in words.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use ingest::load::{Column, Destination, Format, Loaded, Plan, Reading, Standing, type_name};

use crate::output;

/// Characters of an example that are shown.
const EXAMPLE: usize = 32;
/// Files that are listed one by one.
const LISTED: usize = 10;

/// The files, the columns and the layout.
pub(super) fn plan(plan: &Plan) -> String {
    let columns = columns(&plan.reading, plan.creates);
    let parts = [files(&plan.reading), columns, destination(plan)];
    parts.join("\n\n")
}

/// The files and their columns.
pub(super) fn files_and_columns(reading: &Reading) -> String {
    [files(reading), columns(reading, true)].join("\n\n")
}

fn files(reading: &Reading) -> String {
    let listed = reading.files.iter().take(LISTED).map(|file| {
        let (name, format) = (&file.input.name, file.format);
        let (rows, bytes) = (counted(file.rows, "row"), HumanBytes(file.input.bytes));
        format!("{name}: {format}, {rows}, {bytes}")
    });
    let mut lines: Vec<String> = listed.collect();
    if reading.files.len() > LISTED {
        lines.push(format!(
            "... and {} more files",
            reading.files.len() - LISTED
        ));
    }
    lines.join("\n")
}

fn columns(reading: &Reading, creates: bool) -> String {
    let is_parquet = reading
        .files
        .iter()
        .any(|file| file.format == Format::Parquet);
    let rows: Vec<_> = reading
        .columns
        .iter()
        .map(|column| {
            [
                column.name.clone(),
                type_name(&column.data_type),
                column
                    .nulls
                    .map_or("?".to_owned(), |nulls| HumanCount(nulls).to_string()),
                clipped(&column.example),
                remark(column, creates),
            ]
        })
        .collect();
    // Of Parquet files the statistics are read and not the values.
    let nulls = if is_parquet { "NULLS STATED" } else { "NULLS" };
    output::to_list(["COLUMN", "TYPE", nulls, "EXAMPLE", ""], &rows)
}

fn remark(column: &Column, creates: bool) -> String {
    let standing = match column.standing {
        _ if creates => None,
        Standing::There => None,
        Standing::Added => Some("new column".to_owned()),
        Standing::Widened => Some("the table's int is widened".to_owned()),
    };
    let all: Vec<String> = standing.into_iter().chain(column.note.clone()).collect();
    all.join("; ")
}

fn destination(plan: &Plan) -> String {
    let Destination { branch, key } = &plan.destination;
    let what = match plan.creates {
        true => "new table ",
        false => "table ",
    };
    let files = plan.layout.partitions.filter(|count| *count > 1);
    let files = files.map(|count| format!(", up to {}", counted(count, "partition")));
    format!(
        "into {what}{key} on {branch}: {}{}",
        plan.layout,
        files.unwrap_or_default()
    )
}

/// Files that are left out, a line each.
pub(super) fn skipped(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<_> = plan
        .skipped
        .iter()
        .take(LISTED)
        .map(|(name, why)| format!("skipped {name}: {why}"))
        .collect();
    if plan.skipped.len() > LISTED {
        lines.push(format!(
            "... and {} more skipped",
            plan.skipped.len() - LISTED
        ));
    }
    lines
}

/// How much there is to load.
pub(super) fn amount(reading: &Reading) -> String {
    format!(
        "{} of {} ({})",
        counted(reading.rows(), "row"),
        counted(reading.files.len() as u64, "file"),
        HumanBytes(reading.bytes())
    )
}

/// What was done, in a line.
pub(super) fn loaded(
    loaded: &Loaded,
    destination: &Destination,
    bytes: u64,
    took: Duration,
) -> String {
    let Destination { branch, key } = destination;
    let commit: String = loaded.commit.short();
    let seconds = took.as_secs_f64();
    // Of a moment there is no rate.
    let rate = (seconds >= 1.0).then(|| {
        let rate = HumanBytes((bytes as f64 / seconds) as u64);
        format!(" ({rate} a second)")
    });
    format!(
        "loaded {} into {key} on {branch} as {} ({}) in {seconds:.1} s{}, commit {commit}",
        counted(loaded.rows, "row"),
        counted(loaded.files as u64, "file"),
        HumanBytes(loaded.bytes),
        rate.unwrap_or_default(),
    )
}

/// `1 row`, `2,345 rows`.
pub(super) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", HumanCount(count)),
    }
}

/// One line of text, cut to fit a column.
pub(super) fn clipped(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(EXAMPLE + 1)
        .collect();
    match plain.char_indices().nth(EXAMPLE) {
        Some((end, _)) => format!("{}...", &plain[..end]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_broken_examples_stay_in_their_column() {
        assert_eq!(clipped("a\nb"), "a b");
        assert_eq!(clipped(&"ä".repeat(40)), format!("{}...", "ä".repeat(32)));
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(1147, "row"), "1,147 rows");
    }
}
