//! Creating, listing, moving and deleting branches and tags.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::catalog::Inner;
use crate::committer::Retry;
use crate::model::{Commit, CommitId};
use crate::refs::{Head, Move, Position, RefKind, RefLogEntry, validate_name};
use crate::resolve::{Look, resolve};
use crate::{Error, MAIN, Result};

/// A branch or tag and the commit it is at.
#[derive(Clone, Debug)]
pub struct RefInfo {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RefKind,
    /// Its head.
    pub commit: Arc<Commit>,
    /// Whether it is protected: then it is not deleted, renamed or reset, and takes no direct
    /// commits, only merges.
    pub protected: bool,
    /// When it was last moved.
    pub updated: DateTime<Utc>,
}

pub(crate) async fn create(
    inner: &Inner,
    kind: RefKind,
    name: &str,
    from: &str,
    author: &str,
) -> Result<Arc<Commit>> {
    validate_name(kind, name)?;
    let commit = resolve(inner, from, Look::Anew).await?;
    let change = Move {
        kind,
        commit: Some(commit.id),
        protected: false,
        time: Utc::now(),
        author: author.to_string(),
        action: format!("create from {from}"),
    };
    let line = inner.line(name);
    let _turn = line.turn.lock().await;
    create_at(inner, name, change).await?;
    Ok(commit)
}

/// Lets a name that is free begin with `change`; `AlreadyExists` when it is not free.
async fn create_at(inner: &Inner, name: &str, change: Move) -> Result<()> {
    let mut retry = Retry::new(name);
    loop {
        let latest = inner.refs.latest(name).await?;
        if let Some(head) = latest.clone().and_then(Position::head) {
            let kind = head.kind().name();
            return Err(Error::already_exists(format!("{kind} {name:?} exists"))
                .with_hint(format!("choose another name, or delete that {kind} first")));
        }
        if inner
            .refs
            .publish(name, latest.as_ref(), change.clone())
            .await?
        {
            return Ok(());
        }
        retry.wait().await?;
    }
}

pub(crate) async fn delete(inner: &Inner, kind: RefKind, name: &str, author: &str) -> Result<()> {
    refuse_main(name, "deleted")?;
    edit(inner, kind, name, |head| {
        head.check_unprotected(name, "deleting it")?;
        Ok(Some(head.moved(None, author, "delete".to_string())))
    })
    .await
    .map(drop)
}

pub(crate) async fn protect(
    inner: &Inner,
    name: &str,
    protected: bool,
    author: &str,
) -> Result<()> {
    edit(inner, RefKind::Branch, name, |head| {
        if head.at.entry.protected == protected {
            return Ok(None);
        }
        let action = if protected { "protect" } else { "unprotect" };
        Ok(Some(Move {
            protected,
            ..head.moved(Some(head.commit), author, action.to_string())
        }))
    })
    .await
    .map(drop)
}

/// Gives a branch another name: the new one begins where the old one ends. Whoever stops in
/// between leaves both.
pub(crate) async fn rename(inner: &Inner, old: &str, new: &str, author: &str) -> Result<()> {
    refuse_main(old, "renamed")?;
    validate_name(RefKind::Branch, new)?;
    if old == new {
        return Err(Error::invalid(format!(
            "branch {old:?} has that name already"
        )));
    }
    let (first, second) = (inner.line(old.min(new)), inner.line(old.max(new)));
    let _first = first.turn.lock().await;
    let _second = second.turn.lock().await;
    let mut head = inner.branch_head(old).await?;
    head.check_unprotected(old, "renaming it")?;
    let action = format!("rename from {old}");
    let begin = |head: &Head| head.moved(Some(head.commit), author, action.clone());
    create_at(inner, new, begin(&head)).await?;
    let mut retry = Retry::new(old);
    loop {
        let end = head.moved(None, author, format!("rename to {new}"));
        if inner.refs.publish(old, Some(&head.at), end).await? {
            return Ok(());
        }
        // Somebody committed to the old name meanwhile: the new one has to have that too.
        retry.wait().await?;
        head = inner.branch_head(old).await?;
        head.check_unprotected(old, "renaming it")?;
        let at = inner.branch_head(new).await?.at;
        if at.entry.action != action || !inner.refs.publish(new, Some(&at), begin(&head)).await? {
            return Err(Error::conflict(format!(
                "branches {old:?} and {new:?} were both changed while one was renamed"
            ))
            .with_hint(format!(
                "both are there: merge {old} into {new} and delete it"
            )));
        }
    }
}

fn refuse_main(name: &str, what: &str) -> Result<()> {
    if name != MAIN {
        return Ok(());
    }
    Err(Error::invalid(format!("branch {MAIN:?} cannot be {what}"))
        .with_hint("every lakehouse has it"))
}

/// Moves a ref as `change` says, given its head; nothing where that says none. Gives the head
/// before.
async fn edit(
    inner: &Inner,
    kind: RefKind,
    name: &str,
    change: impl Fn(&Head) -> Result<Option<Move>>,
) -> Result<CommitId> {
    let line = inner.line(name);
    let _turn = line.turn.lock().await;
    let mut retry = Retry::new(name);
    loop {
        let head = inner.head_of(kind, name).await?;
        let Some(change) = change(&head)? else {
            return Ok(head.commit);
        };
        if inner.refs.publish(name, Some(&head.at), change).await? {
            return Ok(head.commit);
        }
        retry.wait().await?;
    }
}

/// The refs of this kind, or all, in the order of their names.
pub(crate) async fn list(inner: &Inner, kind: Option<RefKind>) -> Result<Vec<RefInfo>> {
    let live = inner.refs.live().await?.into_iter();
    let wanted = live.filter(|(_, head)| kind.is_none_or(|kind| head.kind() == kind));
    let refs = wanted.map(|(name, head)| info(inner, name, head));
    futures::future::try_join_all(refs).await
}

/// The living ref of this name.
pub(crate) async fn get(inner: &Inner, name: &str) -> Result<RefInfo> {
    validate_name(RefKind::Branch, name)?;
    match inner.refs.latest(name).await?.and_then(Position::head) {
        Some(head) => info(inner, name.to_string(), head).await,
        None => Err(inner.no_such_ref(RefKind::Branch, name).await),
    }
}

async fn info(inner: &Inner, name: String, head: Head) -> Result<RefInfo> {
    Ok(RefInfo {
        name,
        kind: head.kind(),
        commit: inner.commits.get(head.commit).await?,
        protected: head.at.entry.protected,
        updated: head.at.entry.time,
    })
}

/// The moves of a ref, deleted ones included; `NotFound` when there never was one.
pub(crate) async fn log(inner: &Inner, name: &str, limit: usize) -> Result<Vec<RefLogEntry>> {
    validate_name(RefKind::Branch, name)?;
    match inner.refs.latest(name).await? {
        Some(newest) => inner.refs.log(name, newest, limit).await,
        None => Err(inner.no_such_ref(RefKind::Branch, name).await),
    }
}
