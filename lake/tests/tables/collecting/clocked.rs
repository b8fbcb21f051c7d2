//! A store in memory with a clock of its own: every call takes some of its time, lets other
//! tasks go first now and then, and objects are as old as that clock says.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The store; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Clocked(Arc<Inner>, Pace);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    TakesTime,
    LooksOn,
}

#[derive(Debug)]
struct Inner {
    store: InMemory,
    start: DateTime<Utc>,
    millis: AtomicU64,
    random: Random,
    written: Mutex<HashMap<Path, DateTime<Utc>>>,
    /// What a power cut may take: written since the last object was created.
    unsynced: Mutex<HashSet<Path>>,
}

/// A small generator, the same numbers for the same seed.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        // SplitMix64.
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

impl Clocked {
    pub(crate) fn new(seed: u64) -> Self {
        Self(
            Arc::new(Inner {
                store: InMemory::new(),
                start: Utc::now(),
                millis: AtomicU64::new(0),
                random: Random::new(seed),
                written: Mutex::default(),
                unsynced: Mutex::default(),
            }),
            Pace::TakesTime,
        )
    }

    /// The same store for one who looks on: no time passes.
    pub(crate) fn quiet(&self) -> Self {
        Self(Arc::clone(&self.0), Pace::LooksOn)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        let millis = self.0.millis.load(Ordering::Relaxed);
        self.0.start + TimeDelta::milliseconds(millis as i64)
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: u64) {
        self.0.millis.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    async fn tick(&self) {
        if self.1 == Pace::LooksOn {
            return;
        }
        let random = &self.0.random;
        self.0
            .millis
            .fetch_add(random.below(400), Ordering::Relaxed);
        for _ in 0..random.below(3) {
            tokio::task::yield_now().await;
        }
    }

    fn wrote(&self, path: &Path) {
        self.0
            .written
            .lock()
            .unwrap()
            .insert(path.clone(), self.now());
    }

    fn sync(&self, written: &Path, create: bool) {
        let mut unsynced = self.0.unsynced.lock().unwrap();
        unsynced.insert(written.clone());
        if create {
            unsynced.clear();
        }
    }

    /// A deletion must not come before what it relies on is sure to stay.
    fn check_synced(&self) {
        let unsynced = self.0.unsynced.lock().unwrap();
        let record = unsynced
            .iter()
            .find(|path| path.as_ref().starts_with("_catalog/squashed/"));
        assert_eq!(record, None, "deleting before this is on disk");
    }

    fn aged(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let mut written = self.0.written.lock().unwrap();
        let now = self.now();
        meta.last_modified = *written.entry(meta.location.clone()).or_insert(now);
        meta
    }

    /// All objects, without letting time pass.
    pub(crate) async fn all(&self) -> Vec<ObjectMeta> {
        let list = self.0.store.list(None);
        list.map(|meta| self.aged(meta.unwrap())).collect().await
    }
}

impl fmt::Display for Clocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clocked")
    }
}

#[async_trait]
impl ObjectStore for Clocked {
    async fn put_opts(&self, to: &Path, body: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.tick().await;
        let create = opts.mode == PutMode::Create;
        let put = self.0.store.put_opts(to, body, opts).await?;
        self.wrote(to);
        self.sync(to, create);
        self.tick().await;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.store.put_multipart_opts(to, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.tick().await;
        let mut got = self.0.store.get_opts(path, options).await?;
        got.meta = self.aged(got.meta);
        self.tick().await;
        Ok(got)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let each = paths.then(move |path| {
            let store = store.clone();
            async move {
                store.tick().await;
                store.check_synced();
                let one = futures::stream::iter([path]).boxed();
                let deleted = store.0.store.delete_stream(one).next().await;
                deleted.expect("one answer for one path")
            }
        });
        each.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let each = self.0.store.list(prefix).then(move |meta| {
            let store = store.clone();
            async move {
                if store.1 == Pace::TakesTime && store.0.random.below(20) == 0 {
                    store.tick().await;
                }
                Ok(store.aged(meta?))
            }
        });
        each.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.tick().await;
        let mut listed = self.0.store.list_with_delimiter(prefix).await?;
        let objects = listed.objects.into_iter();
        listed.objects = objects.map(|meta| self.aged(meta)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.store.copy_opts(from, to, options).await?;
        self.wrote(to);
        Ok(())
    }
}
