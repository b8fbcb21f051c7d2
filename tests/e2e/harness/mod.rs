//! What the tests stand on: servers that are killed on drop, clients, data, waiting.

mod ceph;
mod command;
mod gate;
mod http;
pub(crate) mod mosquitto;
mod publisher;
mod python;
mod server;
mod site;
pub(crate) mod skab;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use ceph::Ceph;
pub(crate) use command::{Finished, run, run_with_input};
pub(crate) use gate::Gate;
pub(crate) use http::{Page, exchange};
pub(crate) use mosquitto::Mosquitto;
pub(crate) use publisher::Publishers;
pub(crate) use python::{duckdb, python};
pub(crate) use server::Server;
pub(crate) use site::Site;

/// How long to wait for something that takes a moment on a fast machine. Only a failing
/// test ever waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks `question` until it gives a value; panics with `what` and the last refusal.
pub(crate) fn wait_for<T>(what: &str, mut question: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let refusal = match question() {
            Ok(answer) => return answer,
            Err(refusal) => refusal,
        };
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} for {what}, last: {refusal}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A port of 127.0.0.1 that nothing listens on at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The folder of the checkout.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under `folder`, in order of their paths.
pub(crate) fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
