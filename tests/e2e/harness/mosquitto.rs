//! A real Mosquitto on a free port.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::command::path_with_sbin;
use super::{Finished, free_port, run_with_input, wait_for};

/// A broker without limits on what it keeps for a session; killed on drop.
pub(crate) struct Mosquitto {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Mosquitto {
    /// Starts it and waits until it takes connections.
    pub(crate) fn start() -> Self {
        // A port found free can be taken by somebody else before Mosquitto binds it.
        wait_for("Mosquitto to start", Self::try_start)
    }

    fn try_start() -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("pumphouse-mqtt-")
            .tempdir()
            .unwrap();
        let port = free_port();
        let config = write_config(folder.path(), port);
        let log = std::fs::File::create(folder.path().join("mosquitto.log")).unwrap();
        let mut child = Command::new("mosquitto")
            .arg("-c")
            .arg(config)
            .env("PATH", path_with_sbin())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start mosquitto: {e}; run `make setup-test`"));
        let ended = wait_for("Mosquitto to listen", || {
            if let Some(status) = child.try_wait().unwrap() {
                return Ok(Some(status));
            }
            TcpStream::connect(("127.0.0.1", port))
                .map(|_| None)
                .map_err(|e| e.to_string())
        });
        match ended {
            None => Ok(Self {
                child,
                folder,
                port,
            }),
            Some(status) => Err(format!("{status}: {}", log_in(folder.path()))),
        }
    }

    /// kill -9, and the same again on its port and folder, with what it had saved.
    pub(crate) fn kill_and_start(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let config = self.folder.path().join("mosquitto.conf");
        let log = std::fs::OpenOptions::new()
            .append(true)
            .open(self.folder.path().join("mosquitto.log"))
            .unwrap();
        self.child = Command::new("mosquitto")
            .arg("-c")
            .arg(config)
            .env("PATH", path_with_sbin())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let port = self.port;
        wait_for("Mosquitto to listen again", || {
            TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())
        });
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `mqtt://host:port`.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Waits until somebody has subscribed to `filter`: what is published before the first
    /// subscription of a session is for nobody. From then on the broker keeps it.
    pub(crate) fn wait_for_subscription(&self, filter: &str) {
        let end = format!(" 1 {filter}");
        wait_for(&format!("a subscription to {filter}"), || {
            let log = log_in(self.folder.path());
            let subscribed = log.lines().any(|line| line.ends_with(&end));
            subscribed.then_some(()).ok_or(log)
        });
    }

    /// Publishes one message at QoS 1 and waits for its acknowledgement.
    pub(crate) fn publish(&self, topic: &str, payload: &[u8]) {
        let port = self.port.to_string();
        publish(&["-p", &port, "-q", "1", "-t", topic], payload).ok();
    }
}

/// `mosquitto_pub` on this machine with `args`; the payload goes over its standard input.
pub(crate) fn publish(args: &[&str], payload: &[u8]) -> Finished {
    let mut command = Command::new("mosquitto_pub");
    run_with_input(command.args(["-h", "127.0.0.1", "-s"]).args(args), payload)
}

fn write_config(folder: &Path, port: u16) -> PathBuf {
    let config = folder.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\n\
         allow_anonymous true\n\
         # Started by root it would become a user who may not write here.\n\
         user root\n\
         persistence true\n\
         persistence_location {}/\n\
         max_queued_messages 0\n\
         max_inflight_messages 0\n\
         log_dest stderr\n\
         log_type error\n\
         log_type warning\n\
         log_type notice\n\
         log_type subscribe\n",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    config
}

fn log_in(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("mosquitto.log")).unwrap_or_default()
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // One that is gone already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- mosquitto.log\n{}---", log_in(self.folder.path()));
        }
    }
}
