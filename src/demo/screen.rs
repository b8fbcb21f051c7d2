//! How the demo looks: headings, indented text, tables, and what to try next.

use std::io::IsTerminal;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::Result;

use super::folder::Folder;
use crate::output;

/// Prints a numbered heading.
pub(super) fn heading(number: u32, title: &str) -> Result<()> {
    let line = format!("{number}  {title}");
    let styled = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    output::print(&match styled {
        true => format!("\n\x1b[1m{line}\x1b[0m"),
        false => format!("\n{line}"),
    })
}

/// Prints text under a heading.
pub(super) fn say(text: &str) -> Result<()> {
    let lines: Vec<_> = text.lines().map(|line| format!("   {line}")).collect();
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    output::print(&lines.join("\n"))
}

/// Prints a query and its answer.
pub(super) fn answer(sql: &str, schema: SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    say(&format!("sql> {}", sql.replace('\n', "\n     ")))?;
    say(&output::to_table(schema, batches)?)
}

/// Prints commands that work with the folder left behind.
pub(super) fn next_steps(folder: &Folder, metadata_location: &str) -> Result<()> {
    let dir = quoted(&folder.shown());
    heading(9, "What to try next")?;
    say(&format!(
        "The lake stays in {dir}: tables, models and history as plain files."
    ))?;
    say(&format!(
        "
{}export PUMPHOUSE_LAKE_URL={dir}/lake PUMPHOUSE_DATA_DIR={dir}/node

pumphouse sql --local                 # a SQL shell; \\? in it for help
pumphouse sql --local 'select fault, count(*) from exp.pumps.telemetry group by fault'
pumphouse log
pumphouse models
pumphouse predict ml.pump_fault --sql=\"$(cat {dir}/pump_features.sql)\" --format csv > predictions.csv

pumphouse branch create exp2          # another experiment: change the file, compare, merge
pumphouse train {dir}/pump_fault.toml --branch exp2
pumphouse models --ref exp2

pumphouse serve                       # as a service; pumps publish from a second terminal:
pumphouse simulate --pumps 20
pumphouse sql 'select max(ts), count(*) from pumps.telemetry'

# the same table without Pumphouse, after: pip install 'pyiceberg[pyarrow]'
python3 -c \"from pyiceberg.table import StaticTable
print(StaticTable.from_metadata('{metadata_location}').scan().to_arrow())\"",
        alias()
    ))
}

/// A line that lets the commands be typed as they are, unless they can be anyway.
fn alias() -> String {
    match std::env::args().next() {
        Some(program) if program.contains('/') => {
            format!("alias pumphouse={}\n", quoted(&program))
        }
        _ => String::new(),
    }
}

/// `text` as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_to_a_shell() {
        assert_eq!(quoted("lake-demo/2"), "lake-demo/2");
        assert_eq!(quoted("my lake"), "'my lake'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
