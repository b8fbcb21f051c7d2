//! SQL files with the output they must have: `tests/sql/*.sql` beside `*.out`.
//!
//! `UPDATE_GOLDEN=1` rewrites the outputs; read the difference before committing it.
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches_with_schema;
use futures::TryStreamExt;
use query::{Outcome, Session, SessionOptions};

use crate::fixture::Fixture;

#[tokio::test]
async fn sql_files_give_their_outputs() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = Vec::new();
    for file in sql_files() {
        // Files write, so that each has a lake of its own.
        let fixture = Fixture::new().await;
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let engine = if name.starts_with("hot") {
            fixture.engine_with_hot_rows()
        } else {
            fixture.engine()
        };
        let session = engine.session(SessionOptions {
            default_ref: None,
            author: "ann".to_owned(),
        });
        let actual = run(&session, &fixture, &std::fs::read_to_string(&file).unwrap()).await;
        let expected = file.with_extension("out");
        if update {
            std::fs::write(&expected, &actual).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != actual {
            different.push(format!("{name}.sql gave:\n{actual}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn sql_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Runs the statements of `text`, which end with a semicolon at the end of a line.
async fn run(session: &Session, fixture: &Fixture, text: &str) -> String {
    let mut output = String::new();
    for statement in text.split(";\n").map(str::trim).filter(|s| !s.is_empty()) {
        let answer = answer(session, &with_commits(statement, fixture)).await;
        writeln!(output, "{statement};\n{}\n", masked(&answer, fixture)).unwrap();
    }
    output
}

async fn answer(session: &Session, sql: &str) -> String {
    match gathered(session, sql).await {
        Ok(answer) => answer,
        Err(error) => format!("error {}: {error}", error.code()),
    }
}

async fn gathered(session: &Session, sql: &str) -> catalog::Result<String> {
    let result = match session.execute(sql, &[]).await? {
        Outcome::Rows(result) => result,
        Outcome::Done {
            message, commit, ..
        } => {
            let commit = commit.map_or("", |_| ", a commit");
            return Ok(format!("{message}{commit}"));
        }
    };
    let batches: Vec<RecordBatch> = result
        .stream
        .map_err(query::stream_error)
        .try_collect()
        .await?;
    let (schema, batches) = without_moments(&result.schema, &batches);
    Ok(pretty_format_batches_with_schema(schema, &batches)
        .unwrap()
        .to_string())
}

/// SHOW lists hashes and times, which differ from run to run.
fn without_moments(schema: &SchemaRef, batches: &[RecordBatch]) -> (SchemaRef, Vec<RecordBatch>) {
    let columns: Vec<usize> = (0..schema.fields().len())
        .filter(|index| {
            let name = schema.field(*index).name().as_str();
            !matches!(name, "commit" | "time" | "updated")
        })
        .collect();
    let batches = batches
        .iter()
        .map(|batch| batch.project(&columns).unwrap())
        .collect();
    (Arc::new(schema.project(&columns).unwrap()), batches)
}

/// `{commit 0}` stands for the hash of the first commit.
fn with_commits(sql: &str, fixture: &Fixture) -> String {
    let mut sql = sql.to_owned();
    for (number, commit) in fixture.commits.iter().enumerate() {
        sql = sql.replace(&format!("{{commit {number}}}"), &commit.to_string());
    }
    sql
}

/// Hashes differ from run to run, in full and shortened.
fn masked(text: &str, fixture: &Fixture) -> String {
    let mut text = text.to_owned();
    for (number, commit) in fixture.commits.iter().enumerate() {
        text = text.replace(&commit.to_string(), &format!("{{commit {number}}}"));
    }
    match text.find("(commit ") {
        Some(start) => {
            let end = start + text[start..].find(')').unwrap();
            format!("{}(commit ...{}", &text[..start], &text[end..])
        }
        None => text,
    }
}
