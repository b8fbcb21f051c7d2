//! Snapshot summaries: what a snapshot added and removed, and the table's totals after
//! it, under the names of the Iceberg specification (appendix F, "optional snapshot
//! summary fields").

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, Operation, Struct, Summary, TableMetadata};

/// Counts of files one by one, then the summary of them all.
#[derive(Default)]
pub(crate) struct Tally {
    added: Sums,
    removed: Sums,
    partitions: HashSet<(i32, Struct)>,
}

#[derive(Default)]
struct Sums {
    data_files: u64,
    records: u64,
    bytes: u64,
    position_files: u64,
    position_deletes: u64,
    equality_files: u64,
    equality_deletes: u64,
}

impl Tally {
    /// Counts a file that the snapshot adds.
    pub(crate) fn add(&mut self, spec_id: i32, file: &DataFile) {
        self.added.count(file);
        self.partitions.insert((spec_id, file.partition().clone()));
    }

    /// Counts a file that the snapshot removes.
    pub(crate) fn remove(&mut self, spec_id: i32, file: &DataFile) {
        self.removed.count(file);
        self.partitions.insert((spec_id, file.partition().clone()));
    }

    /// The summary of a snapshot that follows the current one of `metadata`, with the
    /// properties `more` beside the counts.
    pub(crate) fn summary(
        &self,
        metadata: &TableMetadata,
        operation: Operation,
        more: BTreeMap<String, String>,
    ) -> Summary {
        let mut properties: HashMap<String, String> = more.into_iter().collect();
        properties.insert("engine-name".into(), "pumphouse".into());
        let partitions = ("changed-partition-count", self.partitions.len() as u64);
        let counts = self.added.added().into_iter().chain(self.removed.removed());
        for (name, count) in counts.chain([partitions]) {
            if count > 0 {
                properties.insert(name.into(), count.to_string());
            }
        }
        let changes = self.added.totals().into_iter().zip(self.removed.totals());
        for ((name, gained), (_, lost)) in changes {
            // A parent without a total, from another engine, leaves the total unknown.
            if let Some(total) = total(metadata, name) {
                let total = (total + gained).saturating_sub(lost);
                properties.insert(name.into(), total.to_string());
            }
        }
        Summary {
            operation,
            additional_properties: properties,
        }
    }
}

impl Sums {
    fn count(&mut self, file: &DataFile) {
        let rows = file.record_count();
        self.bytes += file.file_size_in_bytes();
        match file.content_type() {
            DataContentType::Data => {
                self.data_files += 1;
                self.records += rows;
            }
            DataContentType::PositionDeletes => {
                self.position_files += 1;
                self.position_deletes += rows;
            }
            DataContentType::EqualityDeletes => {
                self.equality_files += 1;
                self.equality_deletes += rows;
            }
        }
    }

    fn added(&self) -> [(&'static str, u64); 8] {
        [
            ("added-data-files", self.data_files),
            ("added-records", self.records),
            ("added-files-size", self.bytes),
            ("added-delete-files", self.delete_files()),
            ("added-position-delete-files", self.position_files),
            ("added-position-deletes", self.position_deletes),
            ("added-equality-delete-files", self.equality_files),
            ("added-equality-deletes", self.equality_deletes),
        ]
    }

    fn removed(&self) -> [(&'static str, u64); 8] {
        [
            ("deleted-data-files", self.data_files),
            ("deleted-records", self.records),
            ("removed-files-size", self.bytes),
            ("removed-delete-files", self.delete_files()),
            ("removed-position-delete-files", self.position_files),
            ("removed-position-deletes", self.position_deletes),
            ("removed-equality-delete-files", self.equality_files),
            ("removed-equality-deletes", self.equality_deletes),
        ]
    }

    fn totals(&self) -> [(&'static str, u64); 6] {
        [
            ("total-data-files", self.data_files),
            ("total-records", self.records),
            ("total-files-size", self.bytes),
            ("total-delete-files", self.delete_files()),
            ("total-position-deletes", self.position_deletes),
            ("total-equality-deletes", self.equality_deletes),
        ]
    }

    fn delete_files(&self) -> u64 {
        self.position_files + self.equality_files
    }
}

fn total(metadata: &TableMetadata, name: &str) -> Option<u64> {
    let Some(snapshot) = metadata.current_snapshot() else {
        return Some(0);
    };
    let properties = &snapshot.summary().additional_properties;
    properties.get(name)?.parse().ok()
}
