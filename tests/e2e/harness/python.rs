//! Scripts in `tests/python`, run with the clients that `make setup-test` installs.

use std::path::PathBuf;
use std::process::Command;

use super::{Finished, checkout, run_with_input};

/// Runs a script of `tests/python` to its end with `input` on its standard input.
pub(crate) fn python(script: &str, args: &[&str], input: &str) -> Finished {
    run_in("venv", script, args, input)
}

/// The same with DuckDB, which has an environment of its own: its release that reads
/// Iceberg catalogs is not the newest.
pub(crate) fn duckdb(script: &str, args: &[&str]) -> Finished {
    run_in("venv-duckdb", script, args, "")
}

fn run_in(environment: &str, script: &str, args: &[&str], input: &str) -> Finished {
    let interpreter = tools().join(environment).join("bin/python");
    assert!(
        interpreter.exists(),
        "{} is missing: run `make setup-test`",
        interpreter.display()
    );
    let mut command = Command::new(interpreter);
    command
        .arg("-B")
        .arg(checkout().join("tests/python").join(script))
        .args(args)
        // Ceph 16 does not know the checksums that newer AWS libraries send unasked.
        .env("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required");
    run_with_input(&mut command, input.as_bytes())
}

fn tools() -> PathBuf {
    match std::env::var_os("PUMPHOUSE_TOOLS") {
        Some(tools) => tools.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/pumphouse/tools"),
    }
}
