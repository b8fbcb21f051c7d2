//! A lake and an ingester on temporary folders, and MQTT clients of three kinds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::{AsArray, Float64Array, RecordBatch};
use bytes::BytesMut;
use catalog::{Catalog, Key, Store, StoreConfig};
use ingest::{BrokerConfig, Ingest, IngestConfig, Source, StreamConfig};
use lake::Lake;
use lake::hot::HotCut;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::{v3, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Encoder};

pub(crate) const TOPIC: &str = "pumps/north/p7/telemetry";

/// The folders of one lakehouse.
pub(crate) struct House {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Self { folder, data }
    }

    /// Goes on with the data folder as it is at this moment: what a process that is killed now would
    /// leave. What the old one still writes is not in it.
    pub(crate) fn crash(&mut self) {
        let mut copy = self.data.clone().into_os_string();
        copy.push("-");
        let copy = PathBuf::from(copy);
        copy_folder(&self.data, &copy);
        self.data = copy;
    }

    pub(crate) fn lake_folder(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    pub(crate) fn log_folder(&self) -> PathBuf {
        self.data.join("log")
    }

    pub(crate) async fn store(&self) -> Store {
        let config = StoreConfig {
            url: self.lake_folder().to_str().unwrap().to_owned(),
            ..StoreConfig::default()
        };
        Store::open(&config).await.unwrap()
    }

    pub(crate) async fn lake(&self) -> Lake {
        Lake::new(Catalog::open(self.store().await).await.unwrap())
    }

    /// A configuration that flushes only when asked.
    pub(crate) fn config(&self) -> IngestConfig {
        let source = Source::Embedded(BrokerConfig {
            listen: "127.0.0.1:0".parse().ok(),
            ..BrokerConfig::default()
        });
        let stream = StreamConfig {
            columns: [("serial".to_owned(), "long".to_owned())].into(),
            ..StreamConfig::new("telemetry", "pumps/{site}/{pump}/telemetry", table())
        };
        let mut config = IngestConfig::new(self.data.clone(), source, vec![stream]);
        config.flush_interval = Duration::from_secs(3600);
        config
    }

    pub(crate) async fn start(&self) -> Ingest {
        Ingest::start(self.config(), self.lake().await)
            .await
            .unwrap()
    }

    /// The rows that the files of a table hold at the head.
    pub(crate) async fn committed(&self, key: &Key) -> u64 {
        let lake = self.lake().await;
        let head = lake.catalog().head("main").await.unwrap();
        let Ok(table) = lake.table(&head, key).await else {
            return 0;
        };
        let files = table.data_files().await.unwrap();
        files.iter().map(|f| f.file.record_count()).sum()
    }

    /// The column `n` of all committed rows, sorted.
    pub(crate) async fn values(&self) -> Vec<i64> {
        let lake = self.lake().await;
        let head = lake.catalog().head("main").await.unwrap();
        let files = match lake.table(&head, &table()).await {
            Ok(table) => table.data_files().await.unwrap(),
            Err(_) => return Vec::new(),
        };
        let mut values = Vec::new();
        for file in files.iter() {
            let path = file.file.file_path().trim_start_matches("file://");
            let file = std::fs::File::open(path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let n = batch.column_by_name("n").unwrap();
                let n: &Float64Array = n.as_primitive();
                values.extend(n.iter().map(|n| n.unwrap_or(-1.0) as i64));
            }
        }
        values.sort_unstable();
        values
    }

    pub(crate) async fn watermark(&self, ingest: &Ingest) -> u64 {
        let head = self.lake().await.catalog().head("main").await.unwrap();
        assert_eq!(
            head.watermarks().len(),
            usize::from(ingest.stats().watermark > 0)
        );
        head.watermarks().values().next().copied().unwrap_or(0)
    }

    /// The hot rows of a table on top of the head.
    pub(crate) async fn hot(&self, ingest: &Ingest, key: &Key) -> Vec<RecordBatch> {
        let head = self.lake().await.catalog().head("main").await.unwrap();
        match ingest.hot().rows_after(key, &head) {
            HotCut::Rows(rows) => rows.batches,
            HotCut::Empty => Vec::new(),
            HotCut::Gone => panic!("the head holds everything that was dropped"),
        }
    }

    pub(crate) async fn hot_rows(&self, ingest: &Ingest, key: &Key) -> usize {
        count(&self.hot(ingest, key).await)
    }
}

pub(crate) fn table() -> Key {
    "pumps.telemetry".parse().unwrap()
}

pub(crate) fn dead_letters() -> Key {
    "ingest.dead_letters".parse().unwrap()
}

pub(crate) fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Waits until the condition holds.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain: {what}");
}

/// Waits until so many messages are rows or dead letters.
pub(crate) async fn decoded(ingest: &Ingest, messages: u64) {
    until(&format!("{messages} messages decoded"), || {
        let stats = ingest.stats();
        stats.rows + stats.dead_letters == messages
    })
    .await;
}

/// Publishes at QoS 1 with rumqttc, MQTT 5, and waits for every PUBACK.
pub(crate) async fn publish_v5<P: Clone + Into<bytes::Bytes>>(
    address: SocketAddr,
    client: &str,
    messages: &[(&str, P)],
) {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let mut options = MqttOptions::new(client, address.ip().to_string(), address.port());
    options.set_max_packet_size(Some(64 << 20));
    let (client, mut events) = AsyncClient::new(options, messages.len() + 1);
    for (topic, payload) in messages {
        client
            .publish(*topic, QoS::AtLeastOnce, false, payload.clone())
            .await
            .unwrap();
    }
    let mut acked = 0;
    while acked < messages.len() {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
            acked += 1;
        }
    }
}

/// Publishes at QoS 1 with rumqttc, MQTT 3.1.1, and waits for every PUBACK.
pub(crate) async fn publish_v4(address: SocketAddr, client: &str, messages: &[(&str, String)]) {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let mut options = MqttOptions::new(client, address.ip().to_string(), address.port());
    options.set_max_packet_size(64 << 20, 64 << 20);
    let (client, mut events) = AsyncClient::new(options, messages.len() + 1);
    for (topic, payload) in messages {
        client
            .publish(*topic, QoS::AtLeastOnce, false, payload.clone())
            .await
            .unwrap();
    }
    let mut acked = 0;
    while acked < messages.len() {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
            acked += 1;
        }
    }
}

/// Payloads that are rows: `{"n": first}` and so on.
pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<(&'static str, String)> {
    range.map(|n| (TOPIC, format!("{{\"n\":{n}}}"))).collect()
}

pub(crate) fn publish_packet(id: u16, dup: bool, topic: &str, payload: &str) -> Publish {
    Publish {
        dup,
        retain: false,
        qos: QoS::AtLeastOnce,
        topic: topic.into(),
        packet_id: std::num::NonZeroU16::new(id),
        payload: payload.as_bytes().to_vec().into(),
        properties: None,
    }
}

/// A client that sends exactly what it is told to.
pub(crate) struct Raw<C> {
    pub(crate) socket: TcpStream,
    codec: C,
    buffer: BytesMut,
}

impl Raw<v3::Codec> {
    pub(crate) async fn v3(address: SocketAddr, client: &str, keep_alive: u16) -> Self {
        let connect = v3::Connect {
            clean_session: true,
            keep_alive,
            ..v3::Connect::default()
        };
        let mut raw = Self::open(address, v3::Codec::default()).await;
        raw.send(connect.client_id(client).into()).await;
        let ack = raw.receive().await.unwrap();
        assert!(matches!(ack, v3::Packet::ConnectAck(a) if u8::from(a.return_code) == 0));
        raw
    }
}

impl Raw<v5::Codec> {
    pub(crate) async fn v5(address: SocketAddr, connect: v5::Connect) -> (Self, v5::ConnectAck) {
        let mut raw = Self::open(address, v5::Codec::default()).await;
        raw.send(connect.into()).await;
        match raw.receive().await.unwrap() {
            v5::Packet::ConnectAck(ack) => (raw, *ack),
            other => panic!("{other:?} instead of a CONNACK"),
        }
    }

    /// Reads up to the DISCONNECT and its reason.
    pub(crate) async fn goodbye(&mut self) -> u8 {
        loop {
            match self.receive().await {
                Some(v5::Packet::Disconnect(goodbye)) => return goodbye.reason_code.into(),
                Some(_) => {}
                None => panic!("closed without a DISCONNECT"),
            }
        }
    }
}

impl<C> Raw<C> {
    pub(crate) async fn open(address: SocketAddr, codec: C) -> Self {
        Self {
            socket: TcpStream::connect(address).await.unwrap(),
            codec,
            buffer: BytesMut::new(),
        }
    }

    pub(crate) async fn send<P>(&mut self, packet: P)
    where
        C: Encoder<P, Error: std::fmt::Debug>,
    {
        let mut out = BytesMut::new();
        self.codec.encode(packet, &mut out).unwrap();
        self.socket.write_all(&out).await.unwrap();
    }

    /// The next packet; none when the broker closes.
    pub(crate) async fn receive<P>(&mut self) -> Option<P>
    where
        C: Decoder<Item = (P, u32), Error: std::fmt::Debug>,
    {
        loop {
            if let Some((packet, _)) = self.codec.decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            let read = self.socket.read_buf(&mut self.buffer);
            let read = tokio::time::timeout(Duration::from_secs(10), read);
            if !matches!(read.await.unwrap(), Ok(1..)) {
                return None;
            }
        }
    }
}
