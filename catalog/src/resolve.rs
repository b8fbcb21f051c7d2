//! From the text of a reference to a snapshot: branch, branch at a commit or time, commit.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::catalog::Inner;
use crate::commits::commit_folder;
use crate::model::{CommitId, Snapshot};
use crate::{Error, Result, history};

const SHORTEST_HASH: usize = 8;

/// A point in a branch's history.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Hash(String),
    Time(DateTime<Utc>),
}

pub(crate) async fn resolve(inner: &Inner, spec: &str) -> Result<Snapshot> {
    let Some((branch, at)) = spec.split_once('@') else {
        return match spec.parse::<CommitId>() {
            Ok(id) => inner.snapshot(id).await,
            Err(_) => inner.head(spec).await,
        };
    };
    let at = parse_at(at)?;
    let head = inner.head(branch).await?.id();
    match at {
        At::Time(time) => at_time(inner, branch, head, time).await,
        At::Hash(hash) => at_hash(inner, branch, head, &hash).await,
    }
}

fn parse_at(at: &str) -> Result<At> {
    let hex = at.bytes().all(|b| b.is_ascii_hexdigit());
    if hex && (SHORTEST_HASH..=64).contains(&at.len()) {
        return Ok(At::Hash(at.to_ascii_lowercase()));
    }
    match parse_time(at) {
        Some(time) => Ok(At::Time(time)),
        None => Err(
            Error::invalid(format!("{at:?} is neither a commit nor a time")).with_hint(format!(
                "write at least {SHORTEST_HASH} hex digits of a commit hash, \
                 or a time such as 2026-11-01T00:00:00Z"
            )),
        ),
    }
}

/// RFC 3339, or a date with or without a time of day, taken as UTC.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc())
}

async fn at_time(
    inner: &Inner,
    branch: &str,
    head: CommitId,
    time: DateTime<Utc>,
) -> Result<Snapshot> {
    match history::at_or_before(&inner.commits, head, time).await? {
        Some(commit) => inner.snapshot(commit.id).await,
        None => Err(Error::not_found(format!(
            "branch {branch} has no commit at or before {time}"
        ))),
    }
}

async fn at_hash(inner: &Inner, branch: &str, head: CommitId, hash: &str) -> Result<Snapshot> {
    let mut found = Vec::new();
    for id in candidates(inner, hash).await? {
        let base = history::merge_base(&inner.commits, id, head).await?;
        if base.is_some_and(|base| base.id == id) {
            found.push(id);
        }
    }
    match found[..] {
        [id] => inner.snapshot(id).await,
        [] => Err(
            Error::not_found(format!("branch {branch} has no commit {hash}"))
                .with_hint(format!("`pumphouse log {branch}` lists its commits")),
        ),
        [..] => {
            let names: Vec<_> = found.iter().map(ToString::to_string).collect();
            Err(
                Error::invalid(format!("{hash} begins the hash of several commits"))
                    .with_hint(format!("one of {}", names.join(", "))),
            )
        }
    }
}

/// All stored commits whose hash begins so, also those that no branch holds.
async fn candidates(inner: &Inner, hash: &str) -> Result<Vec<CommitId>> {
    let folder = commit_folder(&hash[..2]);
    let before = Path::from(format!("{folder}/{hash}"));
    let store = inner.store.object_store();
    let mut listing = store.list_with_offset(Some(&folder), &before);
    let mut found = Vec::new();
    while let Some(object) = listing.try_next().await? {
        let name = object.location.filename().unwrap_or_default();
        let id = name
            .strip_suffix(".json")
            .and_then(|name| name.parse().ok());
        match id {
            Some(id) if name.starts_with(hash) => found.push(id),
            _ if inner.store.lists_in_order() => break,
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_times_are_told_apart() {
        let time = |text: &str| At::Time(DateTime::parse_from_rfc3339(text).unwrap().to_utc());
        for (text, expected) in [
            ("20261101", At::Hash("20261101".into())),
            ("DEADBEEF", At::Hash("deadbeef".into())),
            ("2026-11-01", time("2026-11-01T00:00:00Z")),
            ("2026-11-01T01:00:00+01:00", time("2026-11-01T00:00:00Z")),
            ("2026-11-01 00:00:00.5", time("2026-11-01T00:00:00.5Z")),
        ] {
            assert_eq!(parse_at(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "abc",
            "yesterday",
            "2026-13-01",
            "éééé",
            &"a".repeat(65),
        ] {
            let error = parse_at(text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{text}");
        }
    }
}
