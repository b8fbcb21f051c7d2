//! The settings of Pumphouse: flag, then environment, then file, then default.
//!
//! Every field here is one setting. Its path in `pumphouse.toml` also names its
//! environment variable: `lake.s3.secret_key` is `PUMPHOUSE_LAKE_S3_SECRET_KEY`.
//! `pumphouse.example.toml` holds them all at their defaults; a test compares.

mod again;
mod load;
mod maintain;
mod ml;
mod mqtt;
mod score;
mod units;
mod watch;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use catalog::{Error, Key, Result};
use ingest::StreamConfig;
use serde::{Deserialize, Serialize};

pub(crate) use self::ml::MlSettings;
pub(crate) use again::Origin;
pub(crate) use load::{Flag, env_name, unknown_variables};
pub(crate) use maintain::MaintainSettings;
use mqtt::MqttSettings;
pub(crate) use units::duration::{format as format_duration, parse as parse_duration};
pub(crate) use watch::RetrainSettings;

/// The whole configuration of one Pumphouse process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Folder of this node: the write-ahead log and the ingester's identity.
    pub(crate) data_dir: PathBuf,
    /// Parts that `serve` runs in this process.
    pub(crate) roles: Vec<Role>,
    /// Name written on commits; empty means the operating system's user.
    #[serde(with = "units::optional")]
    pub(crate) author: Option<String>,
    pub(crate) lake: LakeSettings,
    pub(crate) listen: ListenSettings,
    pub(crate) auth: AuthSettings,
    pub(crate) client: ClientSettings,
    pub(crate) mqtt: MqttSettings,
    pub(crate) ingest: IngestSettings,
    pub(crate) query: QuerySettings,
    pub(crate) iceberg: IcebergSettings,
    pub(crate) ml: MlSettings,
    pub(crate) maintain: MaintainSettings,
    pub(crate) gc: GcSettings,
    /// What is ingested: one rule per kind of message.
    #[serde(rename = "stream", skip_serializing)]
    pub(crate) streams: Vec<StreamConfig>,
    /// Where these settings were read; none for settings made otherwise.
    #[serde(skip)]
    pub(crate) origin: Option<Origin>,
}

/// A part of Pumphouse that can run in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// MQTT to the lake.
    Ingest,
    /// SQL over Arrow Flight.
    Query,
    /// Compaction, retention, expiry and garbage collection.
    Maintain,
    /// Predictions over HTTP; models watched and trained again.
    Ml,
}

/// Where the lake is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LakeSettings {
    /// `./folder`, `/folder`, `s3://bucket/prefix` or `memory://`.
    pub(crate) url: String,
    /// How old a head may be that queries take for the newest; 0 looks at every query. What
    /// this process commits it sees at once, and writers always look.
    #[serde(with = "units::duration")]
    pub(crate) refresh: Duration,
    pub(crate) s3: S3Settings,
}

/// Access to an S3 store; only read when the lake's URL begins with `s3://`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct S3Settings {
    /// `http://host:port` of MinIO, Ceph and the like; empty means AWS.
    #[serde(with = "units::optional")]
    pub(crate) endpoint: Option<String>,
    #[serde(with = "units::optional")]
    pub(crate) region: Option<String>,
    #[serde(with = "units::optional")]
    pub(crate) access_key: Option<String>,
    #[serde(with = "units::optional")]
    pub(crate) secret_key: Option<Secret>,
}

/// The addresses this process listens on; port 0 takes a free one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenSettings {
    /// Health, metrics and predictions.
    pub(crate) http: SocketAddr,
    /// SQL over Arrow Flight.
    pub(crate) flight: SocketAddr,
}

/// Who may use the HTTP and Flight SQL interfaces.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthSettings {
    /// Bearer token asked of every client; empty means none, on loopback only.
    #[serde(with = "units::optional")]
    pub(crate) token: Option<Secret>,
}

/// How `pumphouse sql` reaches the server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClientSettings {
    /// `http://host:port` of a Flight SQL server; empty means `listen.flight`.
    #[serde(with = "units::optional")]
    pub(crate) server: Option<String>,
}

/// How rows are gathered before they become files of the lake.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IngestSettings {
    /// Branch the rows are committed to.
    pub(crate) branch: String,
    /// Commit after so many rows...
    pub(crate) flush_rows: usize,
    /// ... or so many bytes in memory...
    #[serde(with = "units::bytes")]
    pub(crate) flush_bytes: u64,
    /// ... or so long after the first row.
    #[serde(with = "units::duration")]
    pub(crate) flush_interval: Duration,
    /// Most memory for rows not yet committed; beyond it decoding waits for a flush.
    #[serde(with = "units::bytes")]
    pub(crate) buffer_bytes: u64,
    /// Most disk for the write-ahead log; beyond it acks wait for a flush.
    #[serde(with = "units::bytes")]
    pub(crate) log_bytes: u64,
    /// Size at which a new segment of the log is begun.
    #[serde(with = "units::bytes")]
    pub(crate) segment_bytes: u64,
    /// A larger message becomes a dead letter.
    #[serde(with = "units::bytes")]
    pub(crate) max_message_bytes: u64,
    /// Table of the messages that could not become rows.
    pub(crate) dead_letter_table: Key,
}

/// How queries run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QuerySettings {
    /// Most memory for all queries together.
    #[serde(with = "units::bytes")]
    pub(crate) memory_limit: u64,
    /// Tasks a query is split into; 0 means the number of cores.
    pub(crate) target_partitions: usize,
    /// Namespace of a table named without one.
    pub(crate) default_namespace: String,
}

/// What the Iceberg REST catalog tells its clients.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IcebergSettings {
    /// Keys to the bucket that clients are given.
    pub(crate) credentials: Credentials,
}

/// Whose keys to the bucket a client of the catalog is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Credentials {
    /// Nobody's: clients bring their own.
    #[default]
    None,
    /// Those that this process uses.
    Own,
}

/// What `pumphouse gc` deletes, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GcSettings {
    /// How old what nothing reaches must be, and how long it then stays.
    #[serde(with = "units::duration")]
    pub(crate) grace: Duration,
    /// How long what a branch or tag was at stays after it moved on.
    #[serde(with = "units::duration")]
    pub(crate) reflog: Duration,
    /// Age from which ingest's commits are squashed; 0 means never.
    #[serde(with = "units::duration")]
    pub(crate) squash_ingest_after: Duration,
    /// Of squashed commits one in every such interval keeps its tables.
    #[serde(with = "units::duration")]
    pub(crate) keep_every: Duration,
}

/// A text that must not show up in logs or error messages.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "./pumphouse-data/node".into(),
            roles: vec![Role::Ingest, Role::Query, Role::Maintain, Role::Ml],
            author: None,
            lake: LakeSettings::default(),
            listen: ListenSettings::default(),
            auth: AuthSettings::default(),
            client: ClientSettings::default(),
            mqtt: MqttSettings::default(),
            ingest: IngestSettings::default(),
            query: QuerySettings::default(),
            iceberg: IcebergSettings::default(),
            ml: MlSettings::default(),
            maintain: MaintainSettings::default(),
            gc: GcSettings::default(),
            streams: vec![default_stream()],
            origin: None,
        }
    }
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self {
            url: "./pumphouse-data/lake".to_owned(),
            refresh: Duration::ZERO,
            s3: S3Settings::default(),
        }
    }
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            http: loopback(8080),
            flight: loopback(50051),
        }
    }
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            branch: "main".to_owned(),
            flush_rows: 100_000,
            flush_bytes: 64 << 20,
            flush_interval: Duration::from_secs(10),
            buffer_bytes: 256 << 20,
            log_bytes: 4 << 30,
            segment_bytes: 64 << 20,
            max_message_bytes: 1 << 20,
            dead_letter_table: key("ingest", "dead_letters"),
        }
    }
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            memory_limit: 1 << 30,
            target_partitions: 0,
            default_namespace: "pumps".to_owned(),
        }
    }
}

impl Default for GcSettings {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            grace: hours(24),
            reflog: hours(7 * 24),
            squash_ingest_after: hours(7 * 24),
            keep_every: hours(1),
        }
    }
}

fn key(namespace: &str, name: &str) -> Key {
    Key {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn default_stream() -> StreamConfig {
    let topic = "pumps/{site}/{pump}/telemetry";
    StreamConfig::new("telemetry", topic, key("pumps", "telemetry"))
}

impl Settings {
    /// The name to write on commits.
    pub(crate) fn author(&self) -> String {
        self.author
            .clone()
            .or_else(|| std::env::var("USER").ok().filter(|user| !user.is_empty()))
            .unwrap_or_else(|| "pumphouse".to_owned())
    }

    /// True when this process runs `role`.
    pub(crate) fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The lake's address and access, as the catalog takes them.
    pub(crate) fn store_config(&self) -> catalog::StoreConfig {
        let s3 = &self.lake.s3;
        catalog::StoreConfig {
            url: self.lake.url.clone(),
            s3: catalog::S3Config {
                endpoint: s3.endpoint.clone(),
                region: s3.region.clone(),
                access_key: s3.access_key.clone(),
                secret_key: s3.secret_key.as_ref().map(|key| key.expose().to_owned()),
            },
        }
    }

    /// Whether clients of the catalog are given this process's keys to the bucket.
    pub(crate) fn gives_keys(&self) -> bool {
        let bucket = self.lake.url.starts_with("s3://");
        bucket && self.iceberg.credentials == Credentials::Own
    }

    /// `http://host:port` of the Flight SQL server that clients on this machine ask.
    pub(crate) fn flight_url(&self) -> String {
        if let Some(server) = &self.client.server {
            return server.clone();
        }
        let mut address = self.listen.flight;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{address}")
    }

    /// What a value's type does not show. Ingest checks its own settings when it starts.
    fn validate(&self) -> Result<()> {
        if self.roles.is_empty() {
            return Err(Error::invalid("roles is empty")
                .with_hint("name at least one of ingest, query, maintain, ml"));
        }
        self.maintain.validate()?;
        self.ml.validate()?;
        if self.query.memory_limit == 0 {
            return Err(Error::invalid("query.memory_limit is 0")
                .with_hint("give it a value above 0, or leave it out for the default"));
        }
        let s3 = &self.lake.s3;
        let keys = s3.access_key.is_some() && s3.secret_key.is_some();
        if self.gives_keys() && !keys {
            return Err(Error::invalid(
                "iceberg.credentials is \"own\", and the settings hold no keys to give",
            )
            .with_hint("set lake.s3.access_key and lake.s3.secret_key, or write \"none\""));
        }
        Ok(())
    }
}
