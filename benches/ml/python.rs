//! A Python peer: a script of this folder that stays up and answers line by line, so that
//! both sides are warm and take turns.
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Result;

/// A running script; ended with the value.
pub(crate) struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// Starts `benches/ml/<script>` with `arguments`, by the interpreter `BENCH_PYTHON` names,
    /// else that of the test tools.
    pub(crate) fn start(script: &str, arguments: &[String]) -> Result<Python> {
        Python::start_with(interpreter()?.as_os_str(), script, arguments)
    }

    /// The same by another interpreter.
    pub(crate) fn start_with(
        interpreter: &OsStr,
        script: &str,
        arguments: &[String],
    ) -> Result<Python> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/ml");
        let mut child = Command::new(interpreter)
            .arg(path.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("the script has no input")?;
        let output = child.stdout.take().ok_or("the script has no output")?;
        Ok(Python {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Reads a line that the script writes by itself.
    pub(crate) fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the Python peer ended instead of answering".into());
        }
        Ok(line.trim().to_owned())
    }

    /// Writes a line and reads the answering one.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        self.hear()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn interpreter() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("BENCH_PYTHON") {
        return Ok(python.into());
    }
    let tools = match std::env::var_os("PUMPHOUSE_TOOLS") {
        Some(tools) => PathBuf::from(tools),
        None => PathBuf::from(std::env::var("HOME")?).join(".cache/pumphouse/tools"),
    };
    Ok(tools.join("venv-ml/bin/python"))
}
