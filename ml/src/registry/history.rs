//! The models a key has held on a ref, and going back to one of them.
use std::sync::Arc;

use catalog::{Commit, CommitId, CommitMeta, Content, Error, Key, Operation, Result};
use lake::Lake;

use super::{ModelInfo, check_key, find, load, read_manifest};
use crate::manifest::Manifest;

/// Property of a commit that goes back to an earlier model: the commit whose model it undoes.
const ROLLED_BACK: &str = "pumphouse.rollback";

/// Commits looked at for a model's history, along the first parents.
const MOST_COMMITS: usize = 100_000;

/// Commits read at a time.
const AT_ONCE: usize = 256;

/// A commit that put a model under a key, or took it away.
#[derive(Clone, Debug)]
pub struct Version {
    /// The commit: when, by whom and why.
    pub commit: Arc<Commit>,
    /// Where the model's manifest lies; none where the model was taken away.
    pub manifest_location: Option<String>,
    /// What is known about the model; none also where that is collected by now.
    pub manifest: Option<Manifest>,
}

/// At most `limit` commits of `reference`, newest first, that changed what the key `model`
/// holds; looks at the last hundred thousand commits.
///
/// # Errors
/// `NotFound` for an unknown ref, or where no such commit is found.
pub async fn history(
    lake: &Lake,
    model: &str,
    reference: &str,
    limit: usize,
) -> Result<Vec<Version>> {
    let key: Key = model.parse()?;
    let mut commits = Vec::new();
    walk(lake, &key, reference, |commit| {
        commits.push(Arc::clone(commit));
        commits.len() < limit
    })
    .await?;
    let mut versions = Vec::new();
    for commit in commits {
        let manifest_location = content(&commit, &key);
        let manifest = match &manifest_location {
            Some(location) => read_manifest(lake, location).await.ok(),
            None => None,
        };
        versions.push(Version {
            commit,
            manifest_location,
            manifest,
        });
    }
    if versions.is_empty() {
        // Says which models there are.
        find(lake, &key, reference).await?;
    }
    Ok(versions)
}

/// Shows `visit` the commits of `reference` that changed `key`, newest first, until it
/// answers false.
async fn walk(
    lake: &Lake,
    key: &Key,
    reference: &str,
    mut visit: impl FnMut(&Arc<Commit>) -> bool,
) -> Result<()> {
    let mut seen = 0;
    let mut next = Some(reference.to_owned());
    while let Some(from) = next.take() {
        let commits = lake.catalog().log(&from, AT_ONCE).await?;
        seen += commits.len();
        let changes = |it: &&Arc<Commit>| it.operations.iter().any(|it| it.key() == key);
        if !commits.iter().filter(changes).all(&mut visit) {
            return Ok(());
        }
        let parent = commits.last().and_then(|last| last.parent);
        next = parent
            .filter(|_| seen < MOST_COMMITS)
            .map(|id| id.to_string());
    }
    Ok(())
}

/// Where the manifest lies that `commit` put under `key`.
fn content(commit: &Commit, key: &Key) -> Option<String> {
    commit
        .operations
        .iter()
        .find_map(|operation| match operation {
            Operation::Put {
                key: at,
                content:
                    Content::Model {
                        manifest_location, ..
                    },
            } if at == key => Some(manifest_location.clone()),
            _ => None,
        })
}

/// A model that was, or in a dry run would be, put back.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// The model that was there.
    pub from: ModelInfo,
    /// The one that is there now.
    pub to: ModelInfo,
    /// The commit that had put the one that was there, where that is known.
    pub undone: Option<CommitId>,
    /// The commit that put it back; none in a dry run.
    pub commit: Option<CommitId>,
}

/// Puts the model back that `branch` had before its present one, or the one it had at the
/// commit `to`: the same manifest and the same artefact, by a new commit. Nothing else of the
/// branch changes, and the rows of the runs stay. Going back twice goes two models back.
///
/// # Errors
/// `NotFound` for an unknown model, branch or commit, and where there was no model before;
/// `Conflict` when another commit changes the model meanwhile; `Corrupt` when the bytes of the
/// earlier model are damaged.
pub async fn rollback(
    lake: &Lake,
    model: &str,
    branch: &str,
    to: Option<&str>,
    author: &str,
    dry_run: bool,
) -> Result<Rollback> {
    let key: Key = model.parse()?;
    let head = lake.catalog().resolve_to_build_on(branch).await?;
    check_key(&head, &key)?;
    let from = find(lake, &key, branch).await?;
    // The commit that put the present model, where it was not put back; then the one before
    // that put another.
    let (mut undone, mut before, mut replaced) = (None, None, None);
    walk(lake, &key, branch, |commit| {
        let put = content(commit, &key);
        let present = put.as_ref() == Some(&from.manifest_location);
        if undone.is_none() && present && !commit.properties.contains_key(ROLLED_BACK) {
            undone = Some(commit.id);
        } else if undone.is_some() && put.is_some() && !present {
            before = Some(commit.id);
        } else if put.is_some() && !present && replaced.is_none() {
            // All there is where the present one came from another branch by going back.
            replaced = Some(commit.id);
        }
        before.is_none() && (to.is_none() || undone.is_none())
    })
    .await?;
    let before = match undone {
        Some(_) => before,
        None => replaced,
    };
    let reference = match (to, before) {
        (Some(to), _) => to.to_owned(),
        (None, Some(before)) => before.to_string(),
        (None, None) => return Err(nothing_before(&key, branch)),
    };
    let earlier = lake.catalog().resolve_to_build_on(&reference).await?;
    let to = find(lake, &key, &earlier.id().to_string()).await?;
    if to.manifest_location == from.manifest_location {
        return Err(Error::invalid(format!(
            "{branch} has the model {key} of {} already",
            earlier.id().short()
        ))
        .with_hint(format!(
            "`pumphouse models history {key} --ref {branch}` lists others"
        )));
    }
    // It has to be whole before anybody is sent to it.
    load(lake, model, &earlier.id().to_string()).await?;
    let content = earlier.get(&key)?;
    let content = content.ok_or_else(|| nothing_before(&key, branch))?;
    let mut rollback = Rollback {
        from,
        to,
        undone,
        commit: None,
    };
    if !dry_run {
        let put = Operation::Put { key, content };
        let meta = rollback.meta(branch, author);
        let done = lake.commit(branch, meta, &head, vec![put]).await?;
        rollback.commit = Some(done.id());
    }
    Ok(rollback)
}

impl Rollback {
    fn meta(&self, branch: &str, author: &str) -> CommitMeta {
        let (from, to) = (&self.from.manifest, &self.to.manifest);
        let message = format!(
            "roll {} back on {branch}: {} instead of {}",
            self.to.key, to.metrics, from.metrics
        );
        let undone = self.undone.map(|id| id.to_string()).unwrap_or_default();
        CommitMeta::new(author, message).with_property(ROLLED_BACK, undone)
    }
}

fn nothing_before(key: &Key, branch: &str) -> Error {
    Error::not_found(format!("{branch} had no other model {key} before")).with_hint(
        "name the commit of one with --to, or take the model away with `pumphouse revert`",
    )
}
