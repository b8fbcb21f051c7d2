//! A lake in a folder, files beside it, and what its tables hold.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use catalog::{Catalog, CommitId, CommitMeta, Error, Key, Result, S3Config, Store, StoreConfig};
use ingest::load::{Destination, LoadOptions, Loaded, Outcome, Plan, Progress, Sources, gather};
use lake::Lake;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub(crate) const TABLE: &str = "lab.runs";

/// A lake and a folder of files.
pub(crate) struct House {
    folder: tempfile::TempDir,
    pub(crate) lake: Lake,
}

impl House {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            url: folder.path().join("lake").display().to_string(),
            ..StoreConfig::default()
        };
        let store = Store::open(&config).await.unwrap();
        let lake = Lake::new(Catalog::open(store).await.unwrap());
        Self { folder, lake }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its name.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) async fn plan(&self, names: &[String], options: LoadOptions) -> Result<Plan> {
        self.plan_on("main", names, options).await
    }

    pub(crate) async fn plan_on(
        &self,
        branch: &str,
        names: &[String],
        options: LoadOptions,
    ) -> Result<Plan> {
        let sources = Sources {
            s3: S3Config::default(),
            spool: self.folder.path().to_owned(),
        };
        let progress = Progress::default();
        let gathered = gather(names, &sources, &progress).await?;
        let destination = Destination {
            branch: branch.to_owned(),
            key: TABLE.parse().unwrap(),
        };
        Plan::make(&self.lake, &destination, gathered, options, &progress).await
    }

    pub(crate) async fn run(&self, plan: Plan) -> Result<Outcome> {
        plan.run(&self.lake, "tester", None, &Progress::default())
            .await
    }

    /// Loads files into [`TABLE`] on `main`.
    pub(crate) async fn load(&self, names: &[String], options: LoadOptions) -> Result<Loaded> {
        let plan = self.plan(names, options).await?;
        match self.run(plan).await? {
            Outcome::Loaded(loaded) => Ok(loaded),
            Outcome::Overtaken(_) => Err(Error::internal("nobody else loads")),
        }
    }

    /// A plan or a load that has to fail, and leaves everything as it was.
    pub(crate) async fn refused(&self, names: &[String], options: LoadOptions) -> Error {
        let before = self.head().await;
        let error = self.load(names, options).await.unwrap_err();
        assert_eq!(self.head().await, before, "{error}");
        error
    }

    pub(crate) async fn head(&self) -> CommitId {
        self.lake.catalog().head("main").await.unwrap().id()
    }

    /// The rows of a table on `main`, each as its values with commas between, sorted.
    pub(crate) async fn rows(&self, key: &str) -> Vec<String> {
        self.rows_on("main", key).await
    }

    pub(crate) async fn rows_on(&self, branch: &str, key: &str) -> Vec<String> {
        let key: Key = key.parse().unwrap();
        let head = self.lake.catalog().head(branch).await.unwrap();
        let Ok(table) = self.lake.table(&head, &key).await else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        for file in table.data_files().await.unwrap().iter() {
            let store = self.lake.store().object_store();
            let bytes = store.get(&file.path).await.unwrap().bytes().await.unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            for batch in reader.build().unwrap() {
                rows.extend(texts(&batch.unwrap()));
            }
        }
        rows.sort();
        rows
    }

    /// Adds rows to a table, which is made where it is not there.
    pub(crate) async fn append(&self, key: &str, rows: RecordBatch) {
        let key: Key = key.parse().unwrap();
        let meta = || CommitMeta::new("tester", "rows");
        let head = self.lake.catalog().head("main").await.unwrap();
        if !head.contains(&key).unwrap() {
            let spec = lake::TableSpec {
                schema: rows.schema(),
                ..lake::TableSpec::default()
            };
            self.lake
                .create_table("main", &key, &spec, meta())
                .await
                .unwrap();
        }
        let appended = self.lake.append_batches("main", &key, vec![rows], meta());
        appended.await.unwrap();
    }
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let cell = |row: usize| {
        let columns = batch.columns().iter();
        let cells = columns.map(|column| array_value_to_string(column, row).unwrap());
        cells.collect::<Vec<_>>().join(",")
    };
    (0..batch.num_rows()).map(cell).collect()
}
