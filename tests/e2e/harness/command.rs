//! Running a program to its end and looking at what it said.

use std::fmt;
use std::io::Write;
use std::process::{Command, Stdio};

/// A program that has ended.
pub(crate) struct Finished {
    line: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `command` to its end with nothing on its standard input.
pub(crate) fn run(command: &mut Command) -> Finished {
    run_with_input(command, b"")
}

/// Runs `command` to its end with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Finished {
    let line = format!("{command:?}");
    let mut child = command
        .env("PATH", path_with_sbin())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {line}: {e}; run `make setup-test`"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // From its own thread: a program may answer before it has read everything, or never read.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Finished {
        line,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Finished {
    /// What it printed, after checking that it succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self}");
        self.no_panic();
        &self.stdout
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|e| panic!("no JSON: {e}\n{self}"))
    }

    /// Checks that it failed as a mistake of the user: exit code 1, the stable error code,
    /// every one of `parts` in the message, and no panic.
    #[track_caller]
    pub(crate) fn refused(&self, error_code: &str, parts: &[&str]) {
        assert_eq!(self.code, Some(1), "{self}");
        self.no_panic();
        let begin = format!("error[{error_code}]: ");
        assert!(self.stderr.contains(&begin), "no {begin:?}: {self}");
        for part in parts {
            assert!(self.stderr.contains(part), "nothing says {part:?}: {self}");
        }
    }

    #[track_caller]
    fn no_panic(&self) {
        assert!(!self.stderr.contains("panicked"), "{self}");
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finished {
            line,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{line}\nexit code {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// Debian keeps the servers in /usr/sbin, which is not on the PATH of every user.
pub(super) fn path_with_sbin() -> String {
    format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    )
}
