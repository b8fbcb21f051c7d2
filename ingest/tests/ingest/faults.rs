//! An object store that fails, forgets to answer and takes its time: everything acknowledged is a
//! row exactly once at the end.
//!
//! `PUMPHOUSE_TEST_SEED=N` repeats the faults of one run, as far as tasks take turns alike.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::Catalog;
use futures::StreamExt;
use futures::stream::BoxStream;
use ingest::{Ingest, IngestConfig};
use lake::Lake;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::support::{House, dead_letters, numbered, publish_v4, until};

/// Faults of a seed, a part of a thousand requests.
#[derive(Debug)]
struct Faults {
    state: AtomicU64,
    per_mille: AtomicU64,
    injected: AtomicU64,
}

/// What happens to a request.
enum Fate {
    Done,
    /// Nothing is done, and an error says so.
    Refused,
    /// It is done, and an error says that it is not.
    Unanswered,
}

impl Faults {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU64::new(seed),
            per_mille: AtomicU64::new(0),
            injected: AtomicU64::new(0),
        })
    }

    fn set(&self, per_mille: u64) {
        self.per_mille.store(per_mille, Ordering::Relaxed);
    }

    /// splitmix64.
    fn random(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut z = self
            .state
            .fetch_add(step, Ordering::Relaxed)
            .wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    async fn fate(&self) -> Fate {
        let hit =
            |faults: &Self| faults.random() % 1_000 < faults.per_mille.load(Ordering::Relaxed);
        if hit(self) {
            tokio::time::sleep(Duration::from_millis(self.random() % 30)).await;
        }
        if !hit(self) {
            return Fate::Done;
        }
        self.injected.fetch_add(1, Ordering::Relaxed);
        match self.random() % 2 {
            0 => Fate::Refused,
            _ => Fate::Unanswered,
        }
    }

    async fn around<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fate().await {
            Fate::Done => work.await,
            Fate::Refused => Err(broken()),
            Fate::Unanswered => {
                work.await?;
                Err(broken())
            }
        }
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "Faulty",
        source: Box::new(std::io::Error::from(std::io::ErrorKind::TimedOut)),
    }
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, to: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.faults.around(self.inner.put_opts(to, body, how)).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.faults.around(self.inner.put_multipart_opts(to, how));
        Ok(Box::new(FaultyUpload {
            inner: upload.await?,
            faults: Arc::clone(&self.faults),
        }))
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        self.faults.around(self.inner.get_opts(from, how)).await
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.faults
            .around(self.inner.get_ranges(from, ranges))
            .await
    }

    fn delete_stream(
        &self,
        which: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(which)
    }

    /// A listing breaks off after any of its names.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let faults = Arc::clone(&self.faults);
        let each = move |found: Result<ObjectMeta>| {
            let faults = Arc::clone(&faults);
            async move { faults.around(async { found }).await }
        };
        self.inner.list(prefix).then(each).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults
            .around(self.inner.list_with_delimiter(prefix))
            .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults
            .around(self.inner.copy_opts(from, to, options))
            .await
    }
}

/// An upload that is torn at any part.
#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let faults = Arc::clone(&self.faults);
        Box::pin(async move { faults.around(part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let faults = Arc::clone(&self.faults);
        faults.around(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

async fn faulty_lake(house: &House, faults: &Arc<Faults>) -> Lake {
    let faults = Arc::clone(faults);
    let store = house
        .store()
        .await
        .wrapped(|inner| Arc::new(Faulty { inner, faults }));
    Lake::new(Catalog::open(store).await.unwrap())
}

fn often(house: &House) -> IngestConfig {
    let mut config = house.config();
    config.flush_interval = Duration::from_millis(20);
    config
}

/// The faults that were injected.
async fn survives(seed: u64, per_mille: u64) -> u64 {
    eprintln!("PUMPHOUSE_TEST_SEED={seed}, {per_mille} faults in a thousand requests");
    let house = House::new();
    let faults = Faults::new(seed);
    let mut next = 0;
    for round in 0..4 {
        faults.set(0);
        let lake = faulty_lake(&house, &faults).await;
        faults.set(per_mille);
        let ingest = Ingest::start(often(&house), lake).await.unwrap();
        let address = ingest.listen_addr().unwrap();
        for _ in 0..8 {
            let one = numbered(next..next + 20);
            let two = numbered(next + 20..next + 40);
            tokio::join!(
                publish_v4(address, "one", &one),
                publish_v4(address, "two", &two)
            );
            next += 40;
        }
        match round % 2 {
            // It dies in the middle of whatever it does.
            0 => drop(ingest),
            _ => {
                let acked = ingest.stats().acked;
                until("a commit under faults", || ingest.stats().commits > 0).await;
                assert_eq!(acked, 320);
                faults.set(0);
                ingest.shutdown().await.unwrap();
            }
        }
    }
    assert_eq!(house.values().await, (0..next as i64).collect::<Vec<_>>());
    assert_eq!(house.committed(&dead_letters()).await, 0);
    faults.injected.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_loses_and_doubles_nothing() {
    let given = std::env::var("PUMPHOUSE_TEST_SEED").ok();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = given.map_or(now, |seed| seed.parse().unwrap());
    let mut injected = 0;
    for (n, per_mille) in [20, 100, 200, 300].into_iter().enumerate() {
        injected += survives(seed.wrapping_add(n as u64), per_mille).await;
    }
    assert!(injected > 5, "{injected} faults");
}
