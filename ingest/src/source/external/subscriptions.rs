//! Which topic filters the session at an external broker may hold, remembered across restarts.
//!
//! A session keeps its subscriptions, and a broker may send a message once for each filter that
//! matches it, under packet ids of their own. So filters that are no longer wanted must be given
//! back, or changed settings would double rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use catalog::{Error, Result};

const FILE: &str = "subscriptions.json";

/// The filters to subscribe to, and those of earlier settings to give back.
pub(super) struct Subscriptions {
    file: PathBuf,
    pub(super) wanted: BTreeSet<String>,
    pub(super) stale: BTreeSet<String>,
    /// The broker may have had a session with some of them.
    pub(super) seen: bool,
}

impl Subscriptions {
    /// Remembers `wanted` in `folder`, beside what earlier settings may have subscribed to.
    ///
    /// # Errors
    /// `Corrupt` for a file that is no list of filters, `Unavailable` when it cannot be written.
    pub(super) fn new(folder: &Path, wanted: BTreeSet<String>) -> Result<Self> {
        let file = folder.join(FILE);
        let known = read(&file)?;
        let mut subscriptions = Self {
            file,
            wanted: BTreeSet::new(),
            seen: !known.is_empty(),
            stale: known,
        };
        subscriptions.want(wanted)?;
        Ok(subscriptions)
    }

    /// Wants other filters from now on, and says which of them are new.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be remembered; then nothing has changed.
    pub(super) fn want(&mut self, wanted: BTreeSet<String>) -> Result<Vec<String>> {
        let known: BTreeSet<&String> = self.wanted.union(&self.stale).collect();
        let all = known.iter().copied().chain(&wanted).collect();
        write(&self.file, &all)?;
        let new = wanted.difference(&self.wanted).cloned().collect();
        let stale = known.into_iter().filter(|filter| !wanted.contains(*filter));
        self.stale = stale.cloned().collect();
        self.wanted = wanted;
        Ok(new)
    }

    /// Forgets the stale filters, once the broker has taken them back.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be remembered.
    pub(super) fn settled(&mut self) -> Result<()> {
        write(&self.file, &self.wanted.iter().collect())?;
        self.stale.clear();
        self.seen = true;
        Ok(())
    }
}

fn read(file: &Path) -> Result<BTreeSet<String>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(failed("read", file, e)),
    };
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::corrupt(format!("{} is no list of topic filters", file.display()))
            .with_hint("restore the file; without it rows may double after a change of topics")
            .with_source(e)
    })
}

fn write(file: &Path, filters: &BTreeSet<&String>) -> Result<()> {
    let text = serde_json::to_vec(filters)
        .map_err(|e| Error::internal("cannot write topic filters as JSON").with_source(e))?;
    let staged = file.with_extension("new");
    std::fs::write(&staged, text)
        .and_then(|()| std::fs::File::open(&staged)?.sync_all())
        .and_then(|()| std::fs::rename(&staged, file))
        .map_err(|e| failed("write", file, e))
}

fn failed(what: &str, file: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("cannot {what} {}: {error}", file.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(filters: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        filters.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn filters_are_stale_until_the_broker_has_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = Subscriptions::new(folder.path(), names(["a/+", "b"])).unwrap();
        assert!(first.stale.is_empty());
        // A start that never reached the broker forgets nothing.
        for _ in 0..2 {
            let second = Subscriptions::new(folder.path(), names(["a/#"])).unwrap();
            assert_eq!(second.stale, names(["a/+", "b"]));
        }
        let mut second = Subscriptions::new(folder.path(), names(["a/#"])).unwrap();
        second.settled().unwrap();
        let third = Subscriptions::new(folder.path(), names(["a/#"])).unwrap();
        assert!(third.stale.is_empty());
    }

    #[test]
    fn a_change_while_running_is_remembered_like_one_between_two_starts() {
        let folder = tempfile::tempdir().unwrap();
        let mut now = Subscriptions::new(folder.path(), names(["a", "b"])).unwrap();
        now.settled().unwrap();
        assert_eq!(now.want(names(["b", "c"])).unwrap(), ["c"]);
        assert_eq!(now.stale, names(["a"]));
        // Back before the broker has answered: it is wanted again, and new to this connection.
        assert_eq!(now.want(names(["a", "c"])).unwrap(), ["a"]);
        assert_eq!(now.stale, names(["b"]));
        let after_a_crash = Subscriptions::new(folder.path(), names(["a", "c"])).unwrap();
        assert_eq!(after_a_crash.stale, names(["b"]));
        now.settled().unwrap();
        assert!(now.stale.is_empty());
    }
}
