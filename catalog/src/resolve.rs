//! From the text of a reference to a commit: `ref`, `ref@time`, `ref@hash`, `hash`, each `~N`.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::catalog::Inner;
use crate::commits::commit_folder;
use crate::model::{Commit, CommitId};
use crate::refs::{COMMITTED, Head, Position, RefKind, Then, validate_name};
use crate::{Error, Result, collect, history};

const SHORTEST_HASH: usize = 8;

/// How new the head of a ref must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// As new as readers of this catalog want it.
    Reader,
    /// What is in the store now, as whoever goes on to write needs it.
    Anew,
}

/// A point in a ref's history.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Hash(String),
    Time(DateTime<Utc>),
}

/// What holds a commit that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It is the head of a ref.
    Head,
    /// It is in the history of a ref.
    History,
    /// Perhaps nothing: it was named by its hash, or is where a ref was once.
    Perhaps,
}

/// The commit that `spec` names.
///
/// Who goes on to write gets none that may be on its way out: `NotFound` for one that is being
/// collected, or whose tables are squashed.
pub(crate) async fn resolve(inner: &Inner, spec: &str, look: Look) -> Result<Arc<Commit>> {
    let (commit, held) = find(inner, spec, look).await?;
    if look == Look::Anew {
        if held == Held::Perhaps {
            collect::refuse_condemned(inner, commit.id).await?;
        }
        if held != Held::Head {
            collect::refuse_squashed(inner, &commit).await?;
        }
    }
    Ok(commit)
}

/// The commit that `spec` names, for reading what is in it: `NotFound` when that is squashed.
pub(crate) async fn resolve_to_read(inner: &Inner, spec: &str) -> Result<Arc<Commit>> {
    let (commit, held) = find(inner, spec, Look::Reader).await?;
    if held != Held::Head {
        collect::refuse_squashed(inner, &commit).await?;
    }
    Ok(commit)
}

async fn find(inner: &Inner, spec: &str, look: Look) -> Result<(Arc<Commit>, Held)> {
    let (point, back) = split_back(spec)?;
    let (id, held) = match point.split_once('@') {
        None => named(inner, point, look).await?,
        Some((name, at)) => {
            let head = head(inner, name, look).await?;
            match parse_at(at)? {
                At::Time(time) => (at_time(inner, name, head, time).await?, Held::Perhaps),
                At::Hash(hash) => (at_hash(inner, name, &head, &hash).await?, Held::History),
            }
        }
    };
    let commit = inner.commits.get(id).await?;
    if back == 0 {
        return Ok((commit, held));
    }
    let Some(depth) = commit.depth.checked_sub(back) else {
        return Err(Error::not_found(format!(
            "{spec} is before the first commit: {point} has {} before it",
            commit.depth
        )));
    };
    let before = history::at_depth(&inner.commits, &commit, depth).await?;
    let held = match held {
        Held::Head => Held::History,
        held => held,
    };
    Ok((before, held))
}

/// The spec without its `~N`, and that N.
fn split_back(spec: &str) -> Result<(&str, u64)> {
    let Some((point, back)) = spec.split_once('~') else {
        return Ok((spec, 0));
    };
    let number = match back {
        "" => Some(1),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| {
        Error::invalid(format!("{back:?} is not a number of commits to go back"))
            .with_hint("write a ref and one ~ with a number, for instance main~3")
    })?;
    Ok((point, number))
}

/// The head of a branch or tag, or the one commit whose hash begins so.
async fn named(inner: &Inner, name: &str, look: Look) -> Result<(CommitId, Held)> {
    if let Ok(id) = name.parse() {
        return Ok((id, Held::Perhaps));
    }
    validate_name(RefKind::Branch, name)?;
    let position = inner.look(name, look).await?;
    if let Some(head) = position.and_then(Position::head) {
        return Ok((head.commit, Held::Head));
    }
    if is_hash(name) {
        let hash = name.to_ascii_lowercase();
        let found = candidates(inner, &hash).await?;
        if !found.is_empty() {
            return Ok((only(&hash, &found)?, Held::Perhaps));
        }
    }
    Err(inner.no_such_ref(RefKind::Branch, name).await)
}

async fn head(inner: &Inner, name: &str, look: Look) -> Result<Head> {
    validate_name(RefKind::Branch, name)?;
    match inner.look(name, look).await?.and_then(Position::head) {
        Some(head) => Ok(head),
        None => Err(inner.no_such_ref(RefKind::Branch, name).await),
    }
}

fn is_hash(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit()) && (SHORTEST_HASH..=64).contains(&text.len())
}

fn parse_at(at: &str) -> Result<At> {
    if is_hash(at) {
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

/// Where the ref was at `time`, by its log; where the log no longer reaches back, by the times
/// of the commits.
async fn at_time(inner: &Inner, name: &str, head: Head, time: DateTime<Utc>) -> Result<CommitId> {
    let not_there = |what: &str| Error::not_found(format!("{name} {what} at {time}"));
    let (at, next) = match inner.refs.then(name, head.at, time).await? {
        Then::At(at, next) => (at, next),
        Then::Before(oldest) => {
            let begun = oldest.entry.time;
            let error = not_there("did not exist").with_hint(format!("it begins at {begun}"));
            let (true, Some(commit)) = (oldest.number > 1, oldest.entry.commit) else {
                return Err(error);
            };
            let found = history::at_or_before(&inner.commits, commit, time).await?;
            return found.map(|commit| commit.id).ok_or(error);
        }
    };
    let commit = at.entry.commit.ok_or_else(|| not_there("was deleted"))?;
    // One entry can publish several commits made one after the other on the head before.
    let group = next.filter(|next| next.entry.action == COMMITTED);
    let Some(last) = group.and_then(|next| next.entry.commit) else {
        return Ok(commit);
    };
    let found = history::at_or_before(&inner.commits, last, time).await?;
    // A commit that was fast-forwarded to may be younger than its entry: it is there already.
    let least = inner.commits.get(commit).await?.depth;
    let found = found.filter(|found| found.depth > least);
    Ok(found.map_or(commit, |found| found.id))
}

async fn at_hash(inner: &Inner, name: &str, head: &Head, hash: &str) -> Result<CommitId> {
    let mut found = Vec::new();
    for id in candidates(inner, hash).await? {
        let base = history::merge_base(&inner.commits, id, head.commit).await?;
        if base.is_some_and(|base| base.id == id) {
            found.push(id);
        }
    }
    if found.is_empty() {
        let kind = head.kind().name();
        return Err(
            Error::not_found(format!("{kind} {name} has no commit {hash}"))
                .with_hint(format!("`pumphouse log {name}` lists its commits")),
        );
    }
    only(hash, &found)
}

fn only(hash: &str, found: &[CommitId]) -> Result<CommitId> {
    if let [id] = found {
        return Ok(*id);
    }
    let names: Vec<_> = found.iter().take(8).map(ToString::to_string).collect();
    Err(
        Error::invalid(format!("{hash} begins the hash of several commits"))
            .with_hint(format!("one of {}", names.join(", "))),
    )
}

/// All stored commits whose hash begins so, also those that no ref holds.
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

    #[test]
    fn steps_back_are_a_number() {
        assert_eq!(split_back("main~3").unwrap(), ("main", 3));
        assert_eq!(split_back("main~").unwrap(), ("main", 1));
        assert_eq!(split_back("a@2026-11-01~0").unwrap(), ("a@2026-11-01", 0));
        for spec in [
            "main~x",
            "main~-1",
            "main~1~2",
            "main~+1",
            "main~99999999999999999999",
        ] {
            assert_eq!(
                split_back(spec).unwrap_err().kind(),
                crate::ErrorKind::InvalidInput
            );
        }
    }
}
