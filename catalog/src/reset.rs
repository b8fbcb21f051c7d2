//! Moving a branch to any commit, without letting an ingester's position go back.
//!
//! An ingester's log has given up what it committed. Were its watermark to go back with the
//! branch, it would look for those rows in its log and stop for ever, when all that was meant is
//! that the branch is without them. So a reset that would rewind watermarks puts a commit on top
//! of the one it goes to that changes nothing but them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Result;
use crate::catalog::Inner;
use crate::commits::{Draft, Making};
use crate::committer::{Retry, move_to};
use crate::model::{Commit, CommitMeta, Snapshot, WATERMARK};
use crate::refs::{Head, Move};
use crate::resolve::{Look, resolve};

/// Moves the branch to what `to` names, and gives the commit it is at then.
pub(crate) async fn reset(
    inner: &Inner,
    name: &str,
    to: &str,
    author: &str,
) -> Result<Arc<Commit>> {
    let target = resolve(inner, to, Look::Anew).await?;
    let line = inner.line(name);
    let _turn = line.turn.lock().await;
    let mut retry = Retry::new(name);
    loop {
        let head = inner.branch_head(name).await?;
        head.check_unprotected(name, "resetting it")?;
        let action = format!("reset to {to}");
        let kept = keep_watermarks(inner, &head, &target, author, &action).await?;
        let (commit, change) = match &kept {
            None => {
                let change = head.moved(Some(target.id), author, action);
                (Arc::clone(&target), change)
            }
            Some(draft) => {
                inner.commits.write(draft).await?;
                let moved = move_to(&head, &draft.snapshot);
                (draft.snapshot.commit_arc(), Move { action, ..moved })
            }
        };
        if inner.refs.publish(name, Some(&head.at), change).await? {
            return Ok(commit);
        }
        retry.wait().await?;
    }
}

/// A commit on `target` with the watermarks of `head`; none where `target` has them all.
async fn keep_watermarks(
    inner: &Inner,
    head: &Head,
    target: &Commit,
    author: &str,
    action: &str,
) -> Result<Option<Draft>> {
    let onto = inner.snapshot(target.id).await?;
    let ahead = marks_ahead(&inner.snapshot(head.commit).await?, &onto);
    if ahead.is_empty() {
        return Ok(None);
    }
    let mut meta = CommitMeta::new(author, format!("{action}, keeping what was ingested"));
    meta.properties = ahead;
    let making = Making {
        onto: &onto,
        merged: None,
        meta,
        operations: Vec::new(),
        not_before: head.at.entry.time,
    };
    inner.commits.draft(making).await.map(Some)
}

/// The watermarks of `head` that are further than those of `target`, as properties.
fn marks_ahead(head: &Snapshot, target: &Snapshot) -> BTreeMap<String, String> {
    let marks = head.watermarks().iter();
    let ahead = marks.filter(|(ingester, mark)| target.watermark(ingester) < Some(**mark));
    ahead
        .map(|(ingester, mark)| (format!("{WATERMARK}{ingester}"), mark.to_string()))
        .collect()
}
