//! The SQL shell: statements over several lines, history, and a few commands.

use std::path::PathBuf;
use std::time::Instant;

use catalog::{Error, Result};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Editor, Helper};

use super::session::Session;
use super::{run_statement, split};
use crate::output::{self, Format};

const HELP: &str = "\
statement;     run it; it may take several lines, and ends with a semicolon
\\d             list the tables
\\d ns.table    list a table's columns
\\q             leave (also Ctrl-D)
\\?             this help
use REF;       read and write another branch, tag or commit
Ctrl-C         stop a running statement, or clear the line";

/// Reads and runs statements until the user leaves.
pub(super) async fn run(session: &mut Session, format: Format) -> Result<()> {
    let mut editor = Editor::<Lines, DefaultHistory>::new().map_err(no_terminal)?;
    editor.set_helper(Some(Lines));
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first time.
        let _ = editor.load_history(path);
    }
    output::print("Pumphouse SQL. \\d lists the tables, \\? helps, \\q leaves.")?;
    loop {
        let prompt = session.prompt();
        let input = match tokio::task::block_in_place(|| editor.readline(&prompt)) {
            Ok(input) => input,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(no_terminal(error)),
        };
        let input = input.trim();
        if input.is_empty() {
            continue;
        }
        // History is a comfort: a full disk must not end the session.
        let _ = editor.add_history_entry(input);
        if let Some(path) = &history {
            let _ = editor.append_history(path);
        }
        if matches!(input, "\\q" | "quit" | "exit") {
            break;
        }
        answer(session, input, format).await?;
    }
    Ok(())
}

/// Runs one input; a failed statement is reported and the session goes on.
async fn answer(session: &mut Session, input: &str, format: Format) -> Result<()> {
    if let Some(command) = input.strip_prefix('\\') {
        return match meta(command) {
            Meta::Help => output::print(HELP),
            Meta::Sql(sql) => timed(session, &sql, format).await,
            Meta::Unknown => {
                output::print(&format!("there is no \\{command}; \\? lists the commands"))
            }
        };
    }
    for statement in split::statements(input) {
        timed(session, statement, format).await?;
    }
    Ok(())
}

async fn timed(session: &mut Session, statement: &str, format: Format) -> Result<()> {
    let start = Instant::now();
    let done = tokio::select! {
        done = run_statement(session, statement, format) => done,
        _ = tokio::signal::ctrl_c() => return output::print("stopped"),
    };
    match done {
        Ok(Some(rows)) if format == Format::Table => {
            let plural = if rows == 1 { "" } else { "s" };
            output::print(&format!(
                "{rows} row{plural} in {:.3} s\n",
                start.elapsed().as_secs_f64()
            ))
        }
        Ok(_) => Ok(()),
        Err(error) if output::is_closed(&error) => Err(error),
        Err(error) => {
            output::complain(&crate::failure::describe(&error));
            Ok(())
        }
    }
}

/// A command of the shell, without its backslash.
enum Meta {
    Help,
    Sql(String),
    Unknown,
}

fn meta(command: &str) -> Meta {
    let command = command.trim().trim_end_matches(';').trim_end();
    let (name, argument) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    match (name, argument.trim()) {
        ("?" | "h" | "help", _) => Meta::Help,
        ("d", "") => Meta::Sql(
            "select table_schema as namespace, table_name as name, table_type as type \
             from information_schema.tables where table_schema <> 'information_schema' \
             order by 1, 2"
                .to_owned(),
        ),
        ("d", table) => Meta::Sql(describe_table(table)),
        _ => Meta::Unknown,
    }
}

fn describe_table(table: &str) -> String {
    let text = |part: &str| part.trim_matches('"').replace('\'', "''");
    let columns = "select column_name as column, data_type as type, is_nullable as nullable \
                   from information_schema.columns where";
    match table.rsplit_once('.') {
        Some((namespace, name)) => format!(
            "{columns} table_schema = '{}' and table_name = '{}' order by ordinal_position",
            text(namespace),
            text(name)
        ),
        None => format!(
            "{columns} table_name = '{}' order by ordinal_position",
            text(table)
        ),
    }
}

/// Tells the editor when an input is whole.
struct Lines;

impl Helper for Lines {}
impl Highlighter for Lines {}
impl Completer for Lines {
    type Candidate = String;
}
impl Hinter for Lines {
    type Hint = String;
}

impl Validator for Lines {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input().trim();
        let command = input.starts_with('\\') || matches!(input, "quit" | "exit");
        Ok(match command || split::is_complete(input) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

/// Where past inputs are kept: `$XDG_STATE_HOME/pumphouse/sql_history`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty());
    let folder = match state {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".local/state"),
    };
    let folder = folder.join("pumphouse");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

fn no_terminal(error: ReadlineError) -> Error {
    Error::unavailable("cannot read from the terminal")
        .with_hint("give the statement as an argument, or on the standard input")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_queries() {
        assert!(matches!(meta("d"), Meta::Sql(sql) if sql.contains("information_schema.tables")));
        assert!(matches!(meta("d pumps.it's;"), Meta::Sql(sql)
            if sql.contains("'pumps'") && sql.contains("'it''s'")));
        assert!(matches!(meta("?"), Meta::Help));
        assert!(matches!(meta("x"), Meta::Unknown));
    }
}
