//! Creating, listing and deleting branches.

use std::sync::Arc;

use crate::catalog::Inner;
use crate::committer::Retry;
use crate::model::{Commit, Snapshot};
use crate::refs::{Position, validate_branch};
use crate::{Error, MAIN, Result, resolve};

/// A branch and the commit it is at.
#[derive(Clone, Debug)]
pub struct BranchInfo {
    /// The branch's name.
    pub name: String,
    /// Its head.
    pub commit: Arc<Commit>,
}

pub(crate) async fn create(inner: &Inner, name: &str, from: &str) -> Result<Snapshot> {
    validate_branch(name)?;
    let snapshot = resolve::resolve(inner, from).await?;
    let line = inner.line(name);
    let _turn = line.turn.lock().await;
    let mut retry = Retry::new(name);
    loop {
        let number = match inner.refs.latest(name).await? {
            Some(Position {
                commit: Some(_), ..
            }) => return Err(exists(name)),
            Some(deleted) => deleted.number,
            None => 0,
        };
        if inner
            .refs
            .publish(name, number, Some(snapshot.id()))
            .await?
        {
            return Ok(snapshot);
        }
        retry.wait().await?;
    }
}

fn exists(name: &str) -> Error {
    Error::already_exists(format!("branch {name:?} exists"))
        .with_hint("choose another name, or delete that branch first")
}

pub(crate) async fn delete(inner: &Inner, name: &str) -> Result<()> {
    if name == MAIN {
        return Err(Error::invalid(format!("branch {MAIN:?} cannot be deleted"))
            .with_hint("every lakehouse has it; delete other branches"));
    }
    validate_branch(name)?;
    let line = inner.line(name);
    let _turn = line.turn.lock().await;
    let mut retry = Retry::new(name);
    loop {
        let head = inner.position(name).await?;
        if inner.refs.publish(name, head.number, None).await? {
            return Ok(());
        }
        retry.wait().await?;
    }
}

pub(crate) async fn list(inner: &Inner) -> Result<Vec<BranchInfo>> {
    let live = inner.refs.live().await?;
    let branches = live.into_iter().map(|(name, id)| async move {
        let commit = inner.commits.get(id).await?;
        Ok(BranchInfo { name, commit })
    });
    futures::future::try_join_all(branches).await
}
