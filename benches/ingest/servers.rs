//! The real Mosquitto and the real Pumphouse that the benchmark measures, each killed on drop.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Mosquitto on a free port with its queue limits lifted.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Mosquitto {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = dir.join("mosquitto.conf");
        std::fs::write(
            &config,
            format!(
                "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n",
                address.port()
            ),
        )?;
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&config)
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH")?))
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, address };
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("Mosquitto did not start: run `make setup-test`".into())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// `pumphouse serve` on a local folder, reading from a broker.
pub(crate) struct Pumphouse {
    child: Child,
    pub(crate) flight: SocketAddr,
}

impl Pumphouse {
    pub(crate) fn start(dir: &Path, broker: SocketAddr) -> Result<Self> {
        let config = dir.join("pumphouse.toml");
        std::fs::write(
            &config,
            format!(
                r#"data_dir = "{dir}/data"
[lake]
url = "{dir}/lake"
[listen]
http = "127.0.0.1:0"
flight = "127.0.0.1:0"
[mqtt]
url = "mqtt://{broker}"
client_id = "bench-ingest"
[[stream]]
name = "bench"
topic = "bench/{{pump}}/telemetry"
table = "bench.telemetry"
"#,
                dir = dir.display()
            ),
        )?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_pumphouse"))
            .arg("--config")
            .arg(&config)
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.join("serve.log"))?)
            .spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut flight = None;
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some(address) = line.strip_prefix("listening flight=") {
                flight = Some(address.parse()?);
            }
            if line == "ready" {
                break;
            }
        }
        match flight {
            Some(flight) => Ok(Self { child, flight }),
            None => Err(std::fs::read_to_string(dir.join("serve.log"))?.into()),
        }
    }

    /// Largest resident size since the start, in MiB (`VmHWM` of proc(5)).
    pub(crate) fn peak_memory_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.split_whitespace().next());
        Ok(kib.ok_or("no VmHWM")?.parse::<u64>()? / 1024)
    }
}

impl Drop for Pumphouse {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn stop(child: &mut Child) {
    // A server that is gone already needs no stopping.
    let _ = child.kill();
    let _ = child.wait();
}
