//! What operations cost, in requests and bytes: that they do not grow with the lakehouse.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use catalog::{Catalog, Store};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::{commit, merge, put};

/// What was asked of a store.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
}

/// A store that counts; listed names count as requests, because a page holds many.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ObjectStore>,
    counts: Arc<Counts>,
}

impl Counting {
    fn request(&self) {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, to: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.request();
        let length = body.content_length() as u64;
        self.counts.written.fetch_add(length, Ordering::Relaxed);
        self.inner.put_opts(to, body, how).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        self.request();
        let found = self.inner.get_opts(from, how).await?;
        self.counts
            .read
            .fetch_add(found.meta.size, Ordering::Relaxed);
        Ok(found)
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(from, ranges).await
    }

    fn delete_stream(
        &self,
        which: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(which)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let counts = Arc::clone(&self.counts);
        let listing = self.inner.list(prefix);
        let count = move |_: &_| {
            counts.requests.fetch_add(1, Ordering::Relaxed);
        };
        listing.inspect(count).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A lakehouse in memory, and what is asked of its store.
struct Counted {
    store: Store,
    counts: Arc<Counts>,
}

impl Counted {
    fn new() -> Self {
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let store = Store::memory().wrapped(|inner| {
            let counts = counted;
            Arc::new(Counting { inner, counts })
        });
        Self { store, counts }
    }

    /// With so many tables, and a few commits after the last checkpoint.
    async fn with_tables(tables: usize) -> Self {
        let counted = Self::new();
        let catalog = counted.open().await;
        let puts = (0..tables).map(|i| put(&format!("t{i}"), "x".repeat(150)));
        commit(&catalog, "main", puts.collect()).await;
        for i in 0..35 {
            commit(&catalog, "main", vec![put("t1", i)]).await;
        }
        counted
    }

    /// With nothing cached.
    async fn open(&self) -> Catalog {
        Catalog::open(self.store.clone()).await.unwrap()
    }

    /// Requests, bytes read and bytes written since the last time.
    fn take(&self) -> (u64, u64, u64) {
        let Counts {
            requests,
            read,
            written,
        } = self.counts.as_ref();
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        (take(requests), take(read), take(written))
    }
}

#[tokio::test]
async fn creating_a_branch_costs_the_same_on_many_tables() {
    let mut costs = Vec::new();
    for tables in [10, 10_000] {
        let counted = Counted::with_tables(tables).await;
        let catalog = counted.open().await;
        counted.take();
        catalog.create_branch("dev", "main", "ada").await.unwrap();
        costs.push(counted.take());
    }
    let [few, many] = costs[..] else {
        unreachable!()
    };
    assert_eq!(few.0, many.0);
    assert!(
        few.1.abs_diff(many.1) < 100 && few.2.abs_diff(many.2) < 100,
        "{few:?} {many:?}"
    );
}

#[tokio::test]
async fn merging_one_table_costs_the_same_on_many_tables() {
    let mut costs = Vec::new();
    for tables in [10, 10_000] {
        let counted = Counted::with_tables(tables).await;
        let catalog = counted.open().await;
        catalog.create_branch("dev", "main", "ada").await.unwrap();
        commit(&catalog, "dev", vec![put("t3", 2)]).await;
        commit(&catalog, "main", vec![put("t4", 2)]).await;
        counted.take();
        merge(&catalog, "dev", "main").await.unwrap();
        let warm = counted.take();
        // With nothing cached the state is read once, for all three sides.
        let cold = counted.open().await;
        commit(&cold, "main", vec![put("t5", 2)]).await;
        commit(&cold, "dev", vec![put("t6", 2)]).await;
        let cold = counted.open().await;
        counted.take();
        merge(&cold, "dev", "main").await.unwrap();
        costs.push((warm, counted.take()));
    }
    let [few, many] = costs[..] else {
        unreachable!()
    };
    assert_eq!((few.0.0, few.1.0), (many.0.0, many.1.0));
    assert!(many.0.1.abs_diff(few.0.1) < 200, "{few:?} {many:?}");
    assert!(many.0.2.abs_diff(few.0.2) < 200, "{few:?} {many:?}");
    assert!(many.1.2.abs_diff(few.1.2) < 200, "{few:?} {many:?}");
    let state = 10_000 * 250;
    assert!(
        many.1.1 < few.1.1 + state,
        "the state was read more than once: {many:?}"
    );
}

#[tokio::test]
async fn opening_main_costs_the_same_after_many_commits() {
    let counted = Counted::new();
    let catalog = counted.open().await;
    let mut costs = Vec::new();
    for commits in [160, 1600] {
        while catalog.head("main").await.unwrap().commit().depth < commits {
            commit(&catalog, "main", vec![put("t", 1)]).await;
        }
        counted.take();
        counted.open().await.head("main").await.unwrap();
        costs.push(counted.take());
    }
    let [few, many] = costs[..] else {
        unreachable!()
    };
    assert_eq!((few.0, few.2), (many.0, many.2));
    assert!(few.1.abs_diff(many.1) < 100, "{few:?} {many:?}");
}
