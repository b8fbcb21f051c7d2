//! A catalog served on a free port, and the requests of a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use catalog::{Catalog, Store};
use iceberg::io::FileIO;
use iceberg::spec::{ManifestContentType, ManifestFile, ManifestListWriter};
use lake::Lake;
use object_store::ObjectStoreExt;
use rest::RestConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The header of a body.
pub(crate) const JSON: &str = "content-type: application/json\r\n";

/// A served catalog in memory.
pub(crate) struct Served {
    pub(crate) lake: Lake,
    address: SocketAddr,
    serving: JoinHandle<()>,
    token: &'static str,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with(RestConfig {
            author: "tester".into(),
            ..RestConfig::default()
        })
        .await
    }

    /// Asks for `token`.
    pub(crate) async fn guarded(token: &'static str) -> Self {
        let mut served = Self::with(RestConfig {
            check_token: Some(Arc::new(move |given| given == token)),
            ..RestConfig::default()
        })
        .await;
        served.token = token;
        served
    }

    pub(crate) async fn with(config: RestConfig) -> Self {
        let catalog = Catalog::open(Store::memory()).await.unwrap();
        Self::of(catalog, config).await
    }

    pub(crate) async fn of(catalog: Catalog, config: RestConfig) -> Self {
        let lake = Lake::new(catalog);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = rest::router(lake.clone(), config);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            lake,
            address,
            serving,
            token: "",
        }
    }

    /// Sends no token from now on.
    pub(crate) fn without_token(mut self) -> Self {
        self.token = "";
        self
    }

    /// Sends `token` from now on.
    pub(crate) fn with_token(mut self, token: &'static str) -> Self {
        self.token = token;
        self
    }

    /// With the namespace `pumps` and in it the table `pumps.daily` of one column.
    pub(crate) async fn with_table() -> Self {
        let served = Self::start().await;
        served.namespace("pumps").await;
        served.create("daily").await.ok();
        served
    }

    pub(crate) async fn namespace(&self, name: &str) {
        let body = json!({"namespace": [name], "properties": {"owner": "ada"}});
        self.post("main/namespaces", body).await.ok();
    }

    /// Creates `pumps.<name>`.
    pub(crate) async fn create(&self, name: &str) -> Answer {
        let body = json!({"name": name, "schema": schema()});
        self.post("main/namespaces/pumps/tables", body).await
    }

    /// An `add-snapshot` update for a table at `location`, whose manifest list is written.
    pub(crate) async fn snapshot(&self, id: i64, sequence: i64, location: &str) -> Value {
        self.snapshot_of(id, sequence, location, &[]).await
    }

    /// The same with manifests at these places.
    pub(crate) async fn snapshot_of(
        &self,
        id: i64,
        sequence: i64,
        location: &str,
        manifests: &[&str],
    ) -> Value {
        let list = manifest_list(id, sequence, manifests).await;
        let store = self.lake.store();
        let path = store.path(&list_of(id, location)).unwrap();
        let put = store.object_store().put(&path, list.into()).await;
        put.unwrap();
        snapshot(id, sequence, location)
    }

    /// Writes a metadata file and registers it as `pumps.<name>`.
    pub(crate) async fn register(&self, name: &str, metadata: &Value) -> Answer {
        let location = format!(
            "{}/metadata/{name}.json",
            metadata["location"].as_str().unwrap()
        );
        let store = self.lake.store();
        let path = store.path(&location).unwrap();
        let json = serde_json::to_vec(metadata).unwrap();
        store.object_store().put(&path, json.into()).await.unwrap();
        let body = json!({"name": name, "metadata-location": location});
        self.post("main/namespaces/pumps/register", body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, JSON, Some(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, "", None).await
    }

    /// One request over a connection of its own; `headers` end with line breaks.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<String>,
    ) -> Answer {
        let body = body.unwrap_or_default();
        let length = body.len();
        let token = match self.token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n{token}{headers}\r\n{body}"
        );
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Answer {
    /// The answer after checking that it is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{self:?}");
        self
    }

    /// Checks status and type of an error, and that its body is the specification's; gives
    /// the message.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, kind: &str) -> &str {
        let error = &self.body["error"];
        assert_eq!(
            (self.status, &error["type"], &error["code"]),
            (status, &kind.into(), &status.into()),
            "{self:?}"
        );
        assert_eq!(self.body.as_object().unwrap().len(), 1, "{self:?}");
        assert_eq!(error.as_object().unwrap().len(), 3, "{self:?}");
        error["message"].as_str().unwrap()
    }
}

/// One column `id`.
pub(crate) fn schema() -> Value {
    json!({"type": "struct", "fields": [
        {"id": 1, "name": "id", "required": false, "type": "long"},
    ]})
}

/// The time of the first snapshots; each next one comes a second later.
fn now() -> i64 {
    let now = UNIX_EPOCH.elapsed().unwrap().as_millis();
    i64::try_from(now).unwrap() - 10_000
}

/// An `add-snapshot` update for a table at `location`, whose manifest list is not there.
pub(crate) fn snapshot(id: i64, sequence: i64, location: &str) -> Value {
    json!({"action": "add-snapshot", "snapshot": {
        "snapshot-id": id,
        "sequence-number": sequence,
        "timestamp-ms": now() + 1000 * sequence.clamp(0, 9),
        "manifest-list": list_of(id, location),
        "summary": {"operation": "append"},
        "schema-id": 0,
    }})
}

fn list_of(id: i64, location: &str) -> String {
    format!("{location}/metadata/snap-{id}.avro")
}

/// The manifest list of snapshot `id` with manifests at these places.
async fn manifest_list(id: i64, sequence: i64, manifests: &[&str]) -> Bytes {
    let io = FileIO::new_with_memory();
    let output = io.new_output("memory://list").unwrap();
    let writer = output.writer().await.unwrap();
    let mut list = ManifestListWriter::v2(writer, id, None, sequence);
    let manifests = manifests.iter().map(|path| ManifestFile {
        manifest_path: (*path).to_owned(),
        manifest_length: 1,
        partition_spec_id: 0,
        content: ManifestContentType::Data,
        sequence_number: sequence,
        min_sequence_number: sequence,
        added_snapshot_id: id,
        added_files_count: Some(0),
        existing_files_count: Some(0),
        deleted_files_count: Some(0),
        added_rows_count: Some(0),
        existing_rows_count: Some(0),
        deleted_rows_count: Some(0),
        partitions: None,
        key_metadata: None,
        first_row_id: None,
    });
    list.add_manifests(manifests).unwrap();
    list.close().await.unwrap();
    output.to_input_file().read().await.unwrap()
}

/// A `set-snapshot-ref` update of the table's branch `main`.
pub(crate) fn main_at(id: i64) -> Value {
    json!({"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": id})
}
