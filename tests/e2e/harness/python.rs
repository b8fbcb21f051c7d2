//! Scripts in `tests/python`, run with the clients that `make setup-test` installs.

use std::path::PathBuf;
use std::process::Command;

use super::{Finished, checkout, run_with_input};

/// Runs a script of `tests/python` to its end with `input` on its standard input.
pub(crate) fn python(script: &str, args: &[&str], input: &str) -> Finished {
    let interpreter = tools().join("venv/bin/python");
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
