//! The real Mosquitto and the real Pumphouse that the benchmark measures, each killed on drop.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::queries::Queries;

/// Clock ticks a second in proc(5): fixed on Linux.
const TICKS: f64 = 100.0;

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
            .spawn()
            .map_err(|e| format!("cannot start mosquitto: {e}; run `make setup-test`"))?;
        let server = Self { child, address };
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("Mosquitto did not start".into())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// How a Pumphouse is to run, in a folder that goes with this.
pub(crate) struct Setup {
    folder: PathBuf,
    config: String,
}

impl Setup {
    /// With settings at their defaults, but for a flush every second: what a measurement leaves
    /// in the buffer is then soon committed and not paid for by the next. Messages come from
    /// `broker`, else through the broker inside.
    pub(crate) fn new(dir: &Path, name: &str, broker: Option<SocketAddr>) -> Result<Self> {
        let folder = dir.join(name);
        std::fs::create_dir_all(&folder)?;
        let broker = match broker {
            Some(broker) => format!("url = \"mqtt://{broker}\"\nclient_id = \"bench-ingest\""),
            None => "listen = \"127.0.0.1:0\"".into(),
        };
        let config = format!(
            r#"data_dir = "{dir}/data"
[lake]
url = "{dir}/lake"
[listen]
http = "127.0.0.1:0"
flight = "127.0.0.1:0"
[mqtt]
{broker}
[[stream]]
name = "bench"
topic = "bench/{{pump}}/telemetry"
table = "bench.telemetry"
[ingest]
"#,
            dir = folder.display()
        );
        Ok(Self { folder, config })
    }

    /// Leaves maintenance to others, where that would fall into the turn of another side.
    pub(crate) fn without_maintenance(mut self) -> Self {
        self.config
            .insert_str(0, "roles = [\"ingest\", \"query\"]\n");
        self
    }

    /// Starts it, with lines such as `flush_interval = "1s"` as its settings of ingest.
    pub(crate) fn start(&self, ingest: &str) -> Result<Pumphouse> {
        let (config, errors) = (self.folder.join("pumphouse.toml"), self.folder.join("log"));
        std::fs::write(&config, format!("{}{ingest}\n", self.config))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_pumphouse"))
            .arg("--config")
            .arg(&config)
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors)?)
            .spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let (mut flight, mut mqtt, mut ready) = (None, None, false);
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some(address) = line.strip_prefix("listening flight=") {
                flight = Some(address.parse()?);
            }
            if let Some(address) = line.strip_prefix("listening mqtt=") {
                mqtt = Some(address.parse()?);
            }
            if line == "ready" {
                ready = true;
                break;
            }
        }
        match flight {
            Some(flight) if ready => Ok(Pumphouse {
                child,
                flight,
                mqtt,
            }),
            _ => Err(std::fs::read_to_string(errors)?.into()),
        }
    }

    /// Bytes of the write-ahead log.
    pub(crate) fn log_bytes(&self) -> Result<u64> {
        let mut folders = vec![self.folder.join("data")];
        let mut bytes = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let (path, kind) = entry.and_then(|e| Ok((e.path(), e.file_type()?)))?;
                if kind.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "wal") {
                    bytes += path.metadata()?.len();
                }
            }
        }
        Ok(bytes)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // What is left goes with the folder around it.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// `pumphouse serve` on a local folder.
pub(crate) struct Pumphouse {
    child: Child,
    flight: SocketAddr,
    mqtt: Option<SocketAddr>,
}

impl Pumphouse {
    pub(crate) async fn queries(&self) -> Result<Queries> {
        Queries::connect(self.flight).await
    }

    /// The broker inside.
    pub(crate) fn broker(&self) -> Result<SocketAddr> {
        Ok(self.mqtt.ok_or("it has no broker inside")?)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of processor time since the start, the kernel's on its behalf included.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name before the last bracket may hold anything; utime and stime are fields 14, 15.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks
            .map(str::parse::<u64>)
            .sum::<std::result::Result<_, _>>()?;
        Ok(ticks as f64 / TICKS)
    }

    /// Waits until it has nothing more to do, so that it does not disturb what is measured next;
    /// two minutes at most.
    pub(crate) async fn settle(&self) -> Result<()> {
        let started = Instant::now();
        let mut quiet = 0;
        let mut before = self.cpu_seconds()?;
        while quiet < 4 && started.elapsed() < Duration::from_secs(120) {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let now = self.cpu_seconds()?;
            quiet = if now - before < 0.03 { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    /// Largest resident size since the start, in MiB (`VmHWM` of proc(5)).
    pub(crate) fn peak_memory_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.split_whitespace().next());
        Ok(kib.ok_or("no VmHWM")?.parse::<u64>()? / 1024)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        stop(&mut self.child);
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
