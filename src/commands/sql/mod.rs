//! `pumphouse sql`: one statement, a file of them, or a shell.

mod session;
mod shell;
mod split;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use catalog::{Error, Result};
use clap::Args;

use crate::output::{self, Format};
use crate::settings::{Flag, Settings};
use session::{Reply, Session};

/// Run SQL on the lakehouse: one statement, a file, or a shell.
///
/// A table is named `namespace.table`, or `ref.namespace.table` to read it on a branch,
/// at a time or at a commit. The server answers over Arrow Flight SQL and sees rows the
/// moment they arrive; with --local the lake is opened here, and shows committed rows.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse sql                                               a shell; \\? in it for help
  pumphouse sql 'select count(*) from pumps.telemetry'
  pumphouse sql 'select * from exp.pumps.telemetry limit 5' --format json
  pumphouse sql 'select count(*) from \"main@2026-11-01T00:00:00Z\".pumps.telemetry'
  pumphouse sql -f report.sql --format csv > report.csv
  echo 'select 1' | pumphouse sql --local")]
pub(crate) struct SqlArgs {
    /// SQL to run; several statements are separated by semicolons
    #[arg(value_name = "SQL", conflicts_with = "file")]
    statement: Option<String>,
    /// Read the SQL from a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Server to ask [env: PUMPHOUSE_CLIENT_SERVER] [default: where `serve` listens here]
    #[arg(long, value_name = "URL", conflicts_with = "local")]
    server: Option<String>,
    /// Open the lake here, without a server: committed rows only
    #[arg(long)]
    local: bool,
    /// Read tables named without a ref at this branch, time or commit
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl SqlArgs {
    /// The settings given as flags.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        Flag::given("--server", "client.server", self.server.as_ref())
            .into_iter()
            .collect()
    }
}

/// Runs what is asked; without a statement on a terminal, a shell.
pub(crate) async fn run(args: SqlArgs, settings: Settings) -> Result<()> {
    let script = match (&args.statement, &args.file) {
        (Some(statement), _) => Some(statement.clone()),
        (None, Some(file)) => Some(read_file(file)?),
        (None, None) if !std::io::stdin().is_terminal() => Some(read_stdin()?),
        (None, None) => None,
    };
    let mut session = match args.local {
        true => Session::local(&settings, args.reference).await?,
        false => Session::remote(&settings, args.reference.as_deref()).await?,
    };
    match script {
        Some(script) => run_script(&mut session, &script, args.format).await,
        None => shell::run(&mut session, args.format).await,
    }
}

/// Runs every statement of `script` up to the first that fails.
async fn run_script(session: &mut Session, script: &str, format: Format) -> Result<()> {
    let statements = split::statements(script);
    if statements.is_empty() {
        return Err(Error::invalid("there is no SQL statement to run")
            .with_hint("pumphouse sql 'select 1', or `pumphouse sql` in a terminal for a shell"));
    }
    for statement in statements {
        run_statement(session, statement, format).await?;
    }
    Ok(())
}

/// Runs one statement and prints its rows, or what it did. Returns the number of rows;
/// `None` where the statement gives none.
async fn run_statement(
    session: &mut Session,
    statement: &str,
    format: Format,
) -> Result<Option<usize>> {
    match session.execute(statement).await? {
        Reply::Rows(schema, rows) => output::print_rows(format, schema, rows).await.map(Some),
        Reply::Done { message, commit } => {
            let commit = commit.as_deref().and_then(|commit| commit.get(..12));
            let line = match commit {
                Some(commit) => format!("{message} (commit {commit})"),
                None => message,
            };
            match format {
                Format::Table => output::print(&line)?,
                // What is read by programs is only rows.
                _ => output::complain(&line),
            }
            Ok(None)
        }
    }
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        Error::invalid(format!("cannot read {}", path.display()))
            .with_hint("name a text file with SQL in it")
            .with_source(e)
    })
}

fn read_stdin() -> Result<String> {
    let mut text = String::new();
    match std::io::stdin().read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(e) => Err(Error::invalid("cannot read SQL from the standard input").with_source(e)),
    }
}
