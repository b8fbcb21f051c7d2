//! `pumphouse serve` as a child process.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use serde_json::Value;

use super::{PATIENCE, Site, run, wait_for};

/// A running server; killed on drop. Its log is printed when the test fails.
pub(crate) struct Server<'site> {
    site: &'site Site,
    child: Child,
    lines: Receiver<String>,
    /// Addresses by part, such as `flight`.
    listening: HashMap<String, String>,
}

impl<'site> Server<'site> {
    /// Starts it without waiting for anything.
    pub(crate) fn launch(site: &'site Site) -> Self {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(site.path("serve.log"))
            .unwrap();
        let mut child = site
            .command(&["serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            site,
            child,
            lines,
            listening: HashMap::new(),
        }
    }

    /// Waits for the line `ready`, taking in the addresses that come before it.
    pub(crate) fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("serve was not ready after {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "serve ended before it was ready: {}",
                        self.child.wait().unwrap()
                    )
                }
            };
            if line == "ready" {
                return;
            }
            let (part, address) = line
                .strip_prefix("listening ")
                .and_then(|rest| rest.split_once('='))
                .unwrap_or_else(|| panic!("serve printed {line:?}"));
            self.listening.insert(part.to_owned(), address.to_owned());
        }
    }

    /// Address of `http`, `flight` or `mqtt`.
    pub(crate) fn address(&self, part: &str) -> &str {
        let known = || {
            panic!(
                "serve does not listen for {part}, only {:?}",
                self.listening
            )
        };
        self.listening.get(part).unwrap_or_else(known)
    }

    /// `mqtt://host:port` of the embedded broker.
    pub(crate) fn mqtt_url(&self) -> String {
        format!("mqtt://{}", self.address("mqtt"))
    }

    /// The rows that `pumphouse sql` prints for `sql`, or what it says instead.
    pub(crate) fn sql(&self, sql: &str) -> Result<Vec<Value>, String> {
        let server = format!("http://{}", self.address("flight"));
        let finished = self
            .site
            .pumphouse(&["sql", "--server", &server, "--format", "json", sql]);
        if finished.stderr.contains("error[") {
            return Err(finished.stderr);
        }
        match finished.json() {
            Value::Array(rows) => Ok(rows),
            other => panic!("no list of rows: {other}"),
        }
    }

    /// Waits until the first column of the only row of `sql` is `count`, and fails as
    /// soon as it is more. A table that is not there yet counts as empty.
    pub(crate) fn wait_for_count(&self, sql: &str, count: u64) {
        wait_for(&format!("{sql} to give {count}"), || {
            let rows = self.sql(sql)?;
            let found = rows[0]
                .as_object()
                .and_then(|row| row.values().next()?.as_u64());
            let found = found.unwrap_or_else(|| panic!("{sql} gave {rows:?}"));
            assert!(found <= count, "{sql} gave {found}, more than {count}");
            if found == count {
                Ok(())
            } else {
                Err(found.to_string())
            }
        });
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, as a power cut or the kernel's memory killer would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop, and checks that it ends well.
    pub(crate) fn stop(mut self) {
        run(std::process::Command::new("kill").args(["-TERM", &self.pid().to_string()])).ok();
        let status = wait_for("serve to end after SIGTERM", || {
            self.child
                .try_wait()
                .unwrap()
                .ok_or_else(|| "it runs".to_owned())
        });
        assert!(status.success(), "serve ended with {status}");
    }

    fn end(&mut self) {
        // One that is gone already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.end();
        let log = std::fs::read_to_string(self.site.path("serve.log")).unwrap_or_default();
        if std::thread::panicking() {
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(80)..];
            println!("--- end of serve.log\n{}\n---", tail.join("\n"));
        } else {
            assert!(!log.contains("panicked"), "serve panicked:\n{log}");
        }
    }
}
