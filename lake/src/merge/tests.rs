//! Row-level deletes in merges: each still deletes what it deleted, and nothing else.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use catalog::{
    BothChanged, Catalog, CommitMeta, Content, ContentMerge, Key, MergeRule, Merged, Store,
};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Operation, Struct,
};

use super::TableMerge;
use crate::create::TableSpec;
use crate::lake::Lake;
use crate::metadata::TableFiles;
use crate::producer::{AddedFile, SnapshotChange, produce};
use crate::table::ScanFile;

/// The states of one table, by the location of their metadata.
struct Bench {
    files: Arc<TableFiles>,
    table: String,
    start: String,
}

impl Bench {
    async fn new() -> Self {
        let lake = Lake::new(Catalog::open(Store::memory()).await.unwrap());
        let spec = TableSpec {
            schema: Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)])),
            ..TableSpec::default()
        };
        let meta = CommitMeta::new("test", "create");
        let table = lake
            .create_table("main", &key(), &spec, meta)
            .await
            .unwrap();
        Self {
            files: Arc::clone(lake.files()),
            table: table.metadata().location().to_owned(),
            start: table.metadata_location().to_owned(),
        }
    }

    fn file(&self, name: &str, content: DataContentType) -> DataFileBuilder {
        let mut file = DataFileBuilder::default();
        file.content(content)
            .file_path(format!("{}/data/{name}.parquet", self.table))
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(1)
            .file_size_in_bytes(1);
        file
    }

    fn data(&self, name: &str) -> DataFile {
        self.file(name, DataContentType::Data).build().unwrap()
    }

    /// Positions in the data file `of`.
    fn positions(&self, name: &str, of: &str) -> DataFile {
        let mut file = self.file(name, DataContentType::PositionDeletes);
        let named = format!("{}/data/{of}.parquet", self.table);
        file.referenced_data_file(Some(named)).build().unwrap()
    }

    fn equality(&self, name: &str) -> DataFile {
        let mut file = self.file(name, DataContentType::EqualityDeletes);
        file.equality_ids(Some(vec![1])).build().unwrap()
    }

    /// The state after `before` that adds `added` and removes data files by name.
    async fn next(&self, before: &str, added: Vec<DataFile>, removed: &[&str]) -> String {
        let metadata = self.files.metadata(before).await.unwrap();
        let removed = removed.iter();
        let removed = removed.map(|name| format!("{}/data/{name}.parquet", self.table));
        let is_data = |file: &DataFile| file.content_type() == DataContentType::Data;
        let (data, deletes): (Vec<_>, Vec<_>) = added.into_iter().partition(is_data);
        let change = SnapshotChange {
            removed: removed.collect(),
            added: AddedFile::all(data, 0),
            added_deletes: AddedFile::all(deletes, 0),
            ..SnapshotChange::default()
        };
        let plain = change.removed.is_empty() && change.added_deletes.is_empty();
        let operation = match plain {
            true => Operation::Append,
            false => Operation::Overwrite,
        };
        let change = SnapshotChange {
            operation,
            ..change
        };
        produce(&self.files, &metadata, before, change)
            .await
            .unwrap()
    }

    async fn merge(&self, rule: MergeRule, states: [&str; 3]) -> Merged {
        let uuid = self.files.metadata(&self.start).await.unwrap().uuid();
        let contents = states.map(|location| Content::IcebergTable {
            uuid,
            metadata_location: location.to_owned(),
        });
        let [base, ours, theirs] = contents.each_ref().map(Some);
        let changed = BothChanged {
            key: &key(),
            base,
            ours,
            theirs,
            rule,
            dry_run: false,
            source: "dev",
            source_commit: "0".repeat(64).parse().unwrap(),
        };
        let merge = TableMerge::new(Arc::clone(&self.files));
        merge.merge(&changed).await.unwrap()
    }

    /// Each data file of the merged table by name, with the delete files that apply to it.
    async fn merged(&self, rule: MergeRule, states: [&str; 3]) -> Vec<(String, Vec<String>)> {
        let merged = self.merge(rule, states).await;
        let Merged::Content {
            content: Content::IcebergTable {
                metadata_location, ..
            },
            ..
        } = merged
        else {
            panic!("{merged:?}");
        };
        let metadata = self.files.metadata(&metadata_location).await.unwrap();
        let files = self.files.scan_files(&metadata).await.unwrap();
        let mut found: Vec<_> = files.iter().map(scanned).collect();
        found.sort();
        found
    }

    async fn conflict(&self, rule: MergeRule, states: [&str; 3]) -> String {
        match self.merge(rule, states).await {
            Merged::Conflict { theirs, .. } => theirs,
            merged @ Merged::Content { .. } => panic!("{merged:?}"),
        }
    }
}

fn key() -> Key {
    "t.t".parse().unwrap()
}

fn scanned(file: &ScanFile) -> (String, Vec<String>) {
    let name = |path: &object_store::path::Path| {
        let name = path.filename().unwrap_or_default();
        name.trim_end_matches(".parquet").to_owned()
    };
    let deletes = file.deletes.iter().map(|delete| name(&delete.path));
    (name(&file.path), deletes.collect())
}

fn expected(files: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let owned = files.iter().map(|(name, deletes)| {
        let deletes = deletes.iter().map(ToString::to_string);
        (name.to_string(), deletes.collect())
    });
    owned.collect()
}

const BOTH_RULES: [MergeRule; 2] = [MergeRule::Branches, MergeRule::Rebase];

#[tokio::test]
async fn position_deletes_go_with_appends_of_the_other_side() {
    let bench = Bench::new().await;
    let base = bench.next(&bench.start, vec![bench.data("b")], &[]).await;
    let appended = bench.next(&base, vec![bench.data("new")], &[]).await;
    let deleted = bench
        .next(&base, vec![bench.positions("p", "b")], &[])
        .await;
    for rule in BOTH_RULES {
        for (ours, theirs) in [(&appended, &deleted), (&deleted, &appended)] {
            let merged = bench.merged(rule, [&base, ours, theirs]).await;
            assert_eq!(merged, expected(&[("b", &["p"]), ("new", &[])]));
        }
    }
}

#[tokio::test]
async fn deleted_rows_never_come_back_by_a_rewrite_of_the_other_side() {
    let bench = Bench::new().await;
    let files = vec![bench.data("b"), bench.data("c")];
    let base = bench.next(&bench.start, files, &[]).await;
    let deleted = bench
        .next(&base, vec![bench.positions("p", "b")], &[])
        .await;
    let rewritten = bench.next(&base, vec![bench.data("b2")], &["b"]).await;
    for (ours, theirs) in [(&rewritten, &deleted), (&deleted, &rewritten)] {
        bench
            .conflict(MergeRule::Rebase, [&base, ours, theirs])
            .await;
    }
    // Another file's rows are nobody's business, nor are those of a file that just goes.
    let other = bench.next(&base, vec![bench.data("c2")], &["c"]).await;
    let gone = bench.next(&base, vec![], &["b"]).await;
    let merged = bench
        .merged(MergeRule::Rebase, [&base, &other, &deleted])
        .await;
    assert_eq!(merged, expected(&[("b", &["p"]), ("c2", &[])]));
    let merged = bench
        .merged(MergeRule::Rebase, [&base, &deleted, &gone])
        .await;
    assert_eq!(merged, expected(&[("c", &[])]));
}

#[tokio::test]
async fn equality_deletes_do_not_reach_what_the_other_side_appended() {
    let bench = Bench::new().await;
    let base = bench.next(&bench.start, vec![bench.data("b")], &[]).await;
    let mut ours = bench.next(&base, vec![bench.data("new1")], &[]).await;
    ours = bench.next(&ours, vec![bench.data("new2")], &[]).await;
    // An upsert: the old rows go and the new ones come in one snapshot.
    let upsert = vec![bench.equality("e"), bench.data("own")];
    let theirs = bench.next(&base, upsert, &[]).await;
    for rule in BOTH_RULES {
        let merged = bench.merged(rule, [&base, &ours, &theirs]).await;
        let files: [(&str, &[&str]); 4] =
            [("b", &["e"]), ("new1", &[]), ("new2", &[]), ("own", &[])];
        assert_eq!(merged, expected(&files));
        let merged = bench.merged(rule, [&base, &theirs, &ours]).await;
        assert_eq!(merged, expected(&files));
    }
}

#[tokio::test]
async fn equality_deletes_among_their_own_rows_are_a_conflict() {
    let bench = Bench::new().await;
    let base = bench.next(&bench.start, vec![bench.data("b")], &[]).await;
    let ours = bench.next(&base, vec![bench.data("new")], &[]).await;
    let mut theirs = bench.next(&base, vec![bench.data("own")], &[]).await;
    theirs = bench.next(&theirs, vec![bench.equality("e")], &[]).await;
    let reason = bench
        .conflict(MergeRule::Branches, [&base, &ours, &theirs])
        .await;
    assert!(reason.contains("compact the table there first"), "{reason}");
}

#[tokio::test]
async fn a_restored_file_is_deleted_from_as_before() {
    let bench = Bench::new().await;
    let base = bench.next(&bench.start, vec![bench.data("b")], &[]).await;
    let parent = bench.next(&base, vec![bench.equality("e")], &[]).await;
    let commit = bench.next(&parent, vec![bench.data("c")], &["b"]).await;
    let ours = bench.next(&commit, vec![bench.data("new")], &[]).await;
    let merged = bench
        .merged(MergeRule::Rebase, [&commit, &ours, &parent])
        .await;
    assert_eq!(merged, expected(&[("b", &["e"]), ("new", &[])]));
}

#[tokio::test]
async fn equality_deletes_of_files_that_were_renumbered_are_a_conflict() {
    let bench = Bench::new().await;
    let base = bench.next(&bench.start, vec![bench.data("b")], &[]).await;
    let mut theirs = bench.next(&base, vec![bench.data("d")], &[]).await;
    theirs = bench.next(&theirs, vec![bench.equality("e")], &[]).await;
    let picked = bench.next(&base, vec![bench.data("d")], &[]).await;
    let mut later = bench.next(&base, vec![bench.data("new")], &[]).await;
    later = bench.next(&later, vec![bench.data("d")], &[]).await;
    for ours in [picked, later] {
        let reason = bench
            .conflict(MergeRule::Branches, [&base, &ours, &theirs])
            .await;
        assert!(reason.contains("numbered otherwise"), "{reason}");
    }
}
