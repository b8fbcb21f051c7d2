//! One installation of Pumphouse: a folder with its settings, its node data and its lake.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Ceph, Finished, Mosquitto, Server, run};

/// A folder with a `pumphouse.toml`; programs run in it.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    settings: Settings,
}

/// The parts of the settings file that tests choose.
struct Settings {
    lake: String,
    mqtt: String,
    ingest: String,
    more: String,
    streams: String,
}

impl Site {
    /// A lake in a folder, the embedded broker on a free port, a commit twice a second.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("pumphouse-e2e-")
            .tempdir()
            .unwrap();
        let lake = folder.path().join("lake");
        let site = Self {
            settings: Settings {
                lake: format!("url = {:?}", lake.display().to_string()),
                mqtt: "listen = \"127.0.0.1:0\"".to_owned(),
                ingest: "flush_interval = \"500ms\"".to_owned(),
                more: String::new(),
                streams: String::new(),
            },
            folder,
        };
        site.write();
        site
    }

    /// The lake in a bucket of Ceph, under `prefix`.
    pub(crate) fn on_ceph(self, ceph: &Ceph, prefix: &str) -> Self {
        let lake = format!(
            "url = \"s3://{}/{prefix}\"\n[lake.s3]\nendpoint = {:?}\nregion = {:?}\naccess_key = {:?}\nsecret_key = {:?}",
            ceph.bucket, ceph.endpoint, ceph.region, ceph.access_key, ceph.secret_key
        );
        self.with(|settings| settings.lake = lake)
    }

    /// The embedded broker on this port, which stays the same over restarts.
    pub(crate) fn mqtt_port(self, port: u16) -> Self {
        let mqtt = format!("listen = \"127.0.0.1:{port}\"");
        self.with(|settings| settings.mqtt = mqtt)
    }

    /// Messages from a Mosquitto.
    pub(crate) fn behind(self, broker: &Mosquitto) -> Self {
        let mqtt = format!("url = {:?}", broker.url());
        self.with(|settings| settings.mqtt = mqtt)
    }

    /// Messages from a Mosquitto, of one topic filter instead of what the streams imply.
    pub(crate) fn behind_subscribed(self, broker: &Mosquitto, filter: &str) -> Self {
        let mqtt = format!("url = {:?}\nsubscribe = [{filter:?}]", broker.url());
        self.with(|settings| settings.mqtt = mqtt)
    }

    /// Lines of the `[mqtt]` section in place of the usual ones.
    pub(crate) fn mqtt(self, lines: &str) -> Self {
        self.with(|settings| settings.mqtt = lines.to_owned())
    }

    /// The lake in a folder that another site uses too.
    pub(crate) fn lake_at(self, folder: &Path) -> Self {
        let lake = format!("url = {:?}", folder.display().to_string());
        self.with(|settings| settings.lake = lake)
    }

    /// Lines of the `[ingest]` section in place of the usual ones.
    pub(crate) fn ingest(self, lines: &str) -> Self {
        self.with(|settings| settings.ingest = lines.to_owned())
    }

    /// A whole section that the others do not have, such as `[auth]`.
    pub(crate) fn section(self, lines: &str) -> Self {
        self.with(|settings| writeln!(settings.more, "{lines}\n").unwrap())
    }

    /// One more stream, as lines of its `[[stream]]` section.
    pub(crate) fn stream(self, lines: &str) -> Self {
        self.with(|settings| {
            writeln!(settings.streams, "[[stream]]\n{lines}").unwrap();
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.write();
        self
    }

    fn write(&self) {
        let Settings {
            lake,
            mqtt,
            ingest,
            more,
            streams,
        } = &self.settings;
        let text = format!(
            "data_dir = {:?}\nauthor = \"tester\"\n\n[lake]\n{lake}\n\n[listen]\nhttp = \"127.0.0.1:0\"\nflight = \"127.0.0.1:0\"\n\n[mqtt]\n{mqtt}\n\n[ingest]\n{ingest}\n\n{more}{streams}",
            self.path("node").display().to_string()
        );
        std::fs::write(self.path("pumphouse.toml"), text).unwrap();
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The folder of the lake.
    pub(crate) fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// Writes a file into the folder and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `pumphouse` with `args`, ready to run in the folder. Settings in the environment
    /// of the developer do not reach it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pumphouse"));
        command
            .args(args)
            .current_dir(self.folder())
            .env_remove("RUST_LOG");
        for (name, _) in std::env::vars_os() {
            let ours = name
                .to_str()
                .is_some_and(|name| name.starts_with("PUMPHOUSE_"));
            if ours && name != "PUMPHOUSE_TOOLS" {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs `pumphouse` with `args` to its end.
    pub(crate) fn pumphouse(&self, args: &[&str]) -> Finished {
        run(&mut self.command(args))
    }

    /// Starts `pumphouse serve` and waits until it is ready.
    pub(crate) fn serve(&self) -> Server<'_> {
        let mut server = Server::launch(self);
        server.wait_until_ready();
        server
    }

    /// `pumphouse replay` of CSV files to the broker at `url`, ready to run. The topic may
    /// hold `{file}`, the name of the file.
    pub(crate) fn replay(&self, url: &str, topic: &str, files: &[PathBuf]) -> Command {
        let mut command = self.command(&["replay", "--broker", url, "--topic", topic]);
        command.args(files);
        command
    }
}
