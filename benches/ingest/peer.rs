//! The peer: a Python program as many plants run one. A paho subscriber keeps what it gets as
//! rows, and once a second pyarrow and deltalake append them to a table.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::Result;
use crate::load::Load;

/// The folder of the Python environment that `make setup-test` makes.
fn python() -> Result<PathBuf> {
    let tools = match std::env::var_os("PUMPHOUSE_TOOLS") {
        Some(tools) => PathBuf::from(tools),
        None => PathBuf::from(std::env::var("HOME")?).join(".cache/pumphouse/tools"),
    };
    Ok(tools.join("venv/bin/python"))
}

/// Rows a second from the first publish until the last append is done.
pub(crate) async fn rows_per_second(dir: &Path, load: &Load, rows: u64) -> Result<f64> {
    let folder = dir.join(format!("peer-{}", uuid::Uuid::new_v4()));
    let mut peer = Peer::start(&folder, load, rows)?;
    peer.line("subscribed")?;
    let started = std::time::Instant::now();
    let load = load.clone();
    let sending = tokio::task::spawn_blocking(move || load.publish(rows));
    peer.line("done")?;
    let rate = rows as f64 / started.elapsed().as_secs_f64();
    sending.await??;
    Ok(rate)
}

struct Peer {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(folder: &Path, load: &Load, rows: u64) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ingest/python_peer.py");
        let mut child = Command::new(python()?)
            .arg(script)
            .args([load.broker.ip().to_string(), load.broker.port().to_string()])
            .args([load.prefix, &rows.to_string()])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let output = BufReader::new(output).lines();
        Ok(Self { child, output })
    }

    fn line(&mut self, expected: &str) -> Result<()> {
        match self.output.next().transpose()? {
            Some(line) if line == expected => Ok(()),
            line => Err(format!("the peer said {line:?}, not {expected:?}").into()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
