//! Sets of object paths that fit in memory: sixteen bytes of hash each.

use std::collections::HashSet;

use object_store::path::Path;
use sha2::{Digest, Sha256};

/// A set of paths. Should two paths ever share a hash, both count as in the set, which for
/// garbage collection is the safe side.
#[derive(Clone, Debug, Default)]
pub struct PathSet(HashSet<[u8; 16]>);

fn digest(path: &Path) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(path.as_ref()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

impl PathSet {
    /// Adds a path; false when it was there.
    pub fn insert(&mut self, path: &Path) -> bool {
        self.0.insert(digest(path))
    }

    /// Whether the path is in the set.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains(&digest(path))
    }

    /// The number of paths.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }
}

impl<'a> FromIterator<&'a Path> for PathSet {
    fn from_iter<I: IntoIterator<Item = &'a Path>>(paths: I) -> Self {
        Self(paths.into_iter().map(digest).collect())
    }
}
