//! Telling by its path what an object is, and whether it may be collected at all.
//!
//! Only what Pumphouse itself or an Iceberg writer puts into a table's folder is ever a
//! candidate: a bucket may hold other things too, and those are left alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use object_store::path::Path;
use uuid::Uuid;

/// What an object is to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A data file of a table.
    DataFile,
    /// A delete file or deletion vector of a table.
    DeleteFile,
    /// A manifest.
    Manifest,
    /// A manifest list.
    ManifestList,
    /// The metadata of a table or view.
    Metadata,
    /// Statistics of a table.
    Statistics,
    /// A model's manifest or trained bytes.
    Model,
    /// A catalog commit.
    Commit,
    /// A catalog checkpoint.
    Checkpoint,
    /// An entry of a ref's log.
    RefEntry,
    /// A file that a killed writer left half written; local folders only.
    Unfinished,
}

impl Kind {
    /// The kind in words: `data files`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataFile => "data files",
            Self::DeleteFile => "delete files",
            Self::Manifest => "manifests",
            Self::ManifestList => "manifest lists",
            Self::Metadata => "metadata",
            Self::Statistics => "statistics",
            Self::Model => "models",
            Self::Commit => "commits",
            Self::Checkpoint => "checkpoints",
            Self::RefEntry => "ref entries",
            Self::Unfinished => "unfinished files",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many objects, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Counts by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Kind, Count>);

impl Tally {
    pub(super) fn add(&mut self, kind: Kind, bytes: u64) {
        self.0.entry(kind).or_default().add(bytes);
    }

    pub(super) fn add_all(&mut self, kind: Kind, objects: u64, bytes: u64) {
        if objects > 0 {
            let count = self.0.entry(kind).or_default();
            count.objects += objects;
            count.bytes += bytes;
        }
    }

    /// The kinds there are any of, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, Count)> {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    /// How many of one kind.
    pub fn of(&self, kind: Kind) -> Count {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// All kinds together.
    pub fn total(&self) -> Count {
        self.0.values().fold(Count::default(), |sum, count| Count {
            objects: sum.objects + count.objects,
            bytes: sum.bytes + count.bytes,
        })
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The folders of tables and views, by what commits name; others only where they are proven.
#[derive(Debug, Default)]
pub(super) struct Folders {
    noted: HashSet<String>,
    /// Of those that only look like a table's: whether they are one's.
    proven: HashMap<String, bool>,
}

impl Folders {
    /// Notes the folder of the metadata file at `path`.
    pub(super) fn note(&mut self, path: &Path) {
        if let Some((folder, _)) = path.as_ref().rsplit_once("/metadata/") {
            self.noted.insert(folder.to_owned());
        }
    }

    /// The folder around `path` that looks like a table's, when no commit names it and nobody has
    /// proven yet what it is.
    pub(super) fn unproven<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let mut folders = folders(path.as_ref()).map(|(folder, _)| folder);
        folders.find(|folder| {
            is_table(folder) && !self.noted.contains(*folder) && !self.proven.contains_key(*folder)
        })
    }

    /// Says whether the folder is a table's.
    pub(super) fn prove(&mut self, folder: String, ours: bool) {
        self.proven.insert(folder, ours);
    }

    fn has(&self, folder: &str) -> bool {
        self.noted.contains(folder) || self.proven.get(folder) == Some(&true)
    }

    /// What the object at `path` is; none when it is not the collector's to judge.
    pub(super) fn kind(&self, path: &Path) -> Option<Kind> {
        let path = path.as_ref();
        if let Some(rest) = path.strip_prefix("_catalog/") {
            return match rest.split('/').next() {
                Some("commits") => Some(Kind::Commit),
                Some("checkpoints") => Some(Kind::Checkpoint),
                Some("refs") => Some(Kind::RefEntry),
                _ => None,
            };
        }
        if is_model(path) {
            return Some(Kind::Model);
        }
        let (_, rest) = folders(path).find(|(folder, _)| self.has(folder))?;
        file_kind(rest)
    }
}

/// The folders around `path` that it is in the data or metadata folder of, with what is left.
fn folders(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = path.match_indices('/');
    let parts = parts.map(|(part, _)| (&path[..part], &path[part + 1..]));
    parts.filter(|(_, rest)| rest.starts_with("data/") || rest.starts_with("metadata/"))
}

/// Whether Pumphouse, or a writer that names files as it does, wrote the table or view metadata
/// in this file: `00003-<uuid>.metadata.json`.
pub(super) fn is_metadata(file: &str) -> bool {
    let name = file.strip_suffix(".metadata.json");
    let parts = name.and_then(|name| name.split_once('-'));
    parts.is_some_and(|(version, uuid)| {
        let digits = version.bytes().all(|b| b.is_ascii_digit());
        digits && version.len() >= 5 && Uuid::parse_str(uuid).is_ok()
    })
}

/// `namespace/name-0123abcd`: the folder that a table gets unless its creator names another.
fn is_table(folder: &str) -> bool {
    let hex = folder.rsplit_once('-').map_or("", |(_, hex)| hex);
    let namespace = folder
        .split_once('/')
        .is_some_and(|(_, name)| !name.contains('/'));
    namespace && hex.len() == 8 && is_hex(hex)
}

/// `namespace/name/models/<SHA-256>.<extension>`, and a suffix where that name was condemned.
fn is_model(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    let [_, _, "models", file] = parts.as_slice() else {
        return false;
    };
    let (name, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    let digest = name.split('-').next().unwrap_or_default();
    digest.len() == 64 && is_hex(digest) && matches!(extension, "ubj" | "json")
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn file_kind(rest: &str) -> Option<Kind> {
    let file = rest.rsplit('/').next().unwrap_or(rest);
    let (_, extension) = file.rsplit_once('.')?;
    let in_metadata = rest.starts_with("metadata/");
    match extension {
        "json" | "gz" if in_metadata => Some(Kind::Metadata),
        "avro" if in_metadata && file.starts_with("snap-") => Some(Kind::ManifestList),
        "avro" if in_metadata => Some(Kind::Manifest),
        "puffin" | "stats" if in_metadata => Some(Kind::Statistics),
        "puffin" => Some(Kind::DeleteFile),
        "parquet" | "avro" | "orc" if file.contains("delete") => Some(Kind::DeleteFile),
        "parquet" if in_metadata => Some(Kind::Statistics),
        "parquet" | "avro" | "orc" => Some(Kind::DataFile),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_by_their_paths() {
        let mut folders = Folders::default();
        folders.note(&Path::from("mine/t/metadata/v1.metadata.json"));
        folders.prove("p/t-0123abcd".to_owned(), true);
        let digest = "0123456789abcdef".repeat(4);
        for (path, kind) in [
            (
                "p/t-0123abcd/data/ts_day=2026-11-01/a.parquet",
                Some(Kind::DataFile),
            ),
            (
                "p/t-0123abcd/data/a-deletes.parquet",
                Some(Kind::DeleteFile),
            ),
            ("p/t-0123abcd/data/a.puffin", Some(Kind::DeleteFile)),
            (
                "p/t-0123abcd/metadata/snap-1-a.avro",
                Some(Kind::ManifestList),
            ),
            ("p/t-0123abcd/metadata/a-m0.avro", Some(Kind::Manifest)),
            (
                "p/t-0123abcd/metadata/00001-a.metadata.json",
                Some(Kind::Metadata),
            ),
            ("p/t-0123abcd/metadata/a.stats", Some(Kind::Statistics)),
            ("mine/t/metadata/v2.metadata.json", Some(Kind::Metadata)),
            ("mine/t/data/a.parquet", Some(Kind::DataFile)),
            ("_catalog/commits/ab/x.json", Some(Kind::Commit)),
            ("_catalog/gc/x/mark.json", None),
            ("_catalog/squashed/x.json", None),
        ] {
            assert_eq!(folders.kind(&Path::from(path)), kind, "{path}");
        }
        let model = Path::from(format!("ml/faults/models/{digest}.ubj"));
        assert_eq!(folders.kind(&model), Some(Kind::Model));
    }

    #[test]
    fn metadata_is_told_by_its_name() {
        let uuid = Uuid::new_v4();
        assert!(is_metadata(&format!("00000-{uuid}.metadata.json")));
        assert!(is_metadata(&format!("123456-{uuid}.metadata.json")));
        for name in ["v1.metadata.json", "00000-a.metadata.json", "run-1.json"] {
            assert!(!is_metadata(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let mut folders = Folders::default();
        folders.prove("p/t-0123abcd".to_owned(), true);
        let export = Path::from("exports/run-20241101/data/part.parquet");
        assert_eq!(folders.unproven(&export), Some("exports/run-20241101"));
        folders.prove("exports/run-20241101".to_owned(), false);
        assert_eq!(folders.unproven(&export), None);
        for path in [
            "holiday.jpg",
            export.as_ref(),
            "exports/run-20241102/data/part.parquet",
            "projects/x/data/a.parquet",
            "p/t-0123abcd/data/notes.txt",
            "p/t-0123abcd/README.json",
            "a/p/t-0123abcd/data/a.parquet",
            "ml/faults/models/best.ubj",
            "_catalog/other/x",
        ] {
            assert_eq!(folders.kind(&Path::from(path)), None, "{path}");
        }
    }
}
