//! Statements staged one on the other, and their one commit.
use std::collections::{BTreeMap, BTreeSet};

use catalog::{CommitId, CommitMeta, Error, Key, Operation, RefKind, Result, Snapshot};

use super::hot;
use crate::Engine;
use crate::scope::Scope;
use crate::write::{Write, WriteContext};

/// Longest title of a commit.
const TITLE: usize = 120;

/// Changes of one branch that are staged and not committed.
#[derive(Clone, Default)]
pub(crate) struct Transaction {
    /// What is changed; `None` until the first write.
    work: Option<Work>,
    /// Whether more statements than one may come.
    explicit: bool,
}

#[derive(Clone)]
struct Work {
    branch: String,
    /// The branch's head at the first write.
    base: Snapshot,
    /// `base` with all that is staged.
    working: Snapshot,
    /// What is staged, the last change of each key.
    operations: BTreeMap<Key, Operation>,
    /// What the statements did, in order.
    titles: Vec<String>,
    /// Tables whose rows the changes hang on.
    reads: BTreeSet<Key>,
}

impl Transaction {
    /// A transaction of as many statements as come until its end.
    pub(crate) fn open() -> Self {
        Transaction {
            work: None,
            explicit: true,
        }
    }

    /// Stages `write` on top of what is staged; on an error nothing has changed. Returns the
    /// rows affected, where they are counted.
    pub(crate) async fn stage(
        &mut self,
        engine: &Engine,
        mut scope: Scope,
        write: &Write,
    ) -> Result<Option<u64>> {
        let branch = write.branch(&scope)?;
        let mut work = match &self.work {
            Some(work) if work.branch == branch => work.clone(),
            Some(work) => return Err(other_branch(&work.branch, &branch)),
            None => self.begin(engine, branch, write, &scope).await?,
        };
        let title = write.title(&scope);
        work.show_in(&mut scope);
        let context = WriteContext::new(engine.clone(), scope);
        let staged = write.stage(&context, &work.branch, &work.working).await?;
        if !staged.operations.is_empty() {
            work.working = work.working.with(&staged.operations)?;
            work.add(staged.operations)?;
            work.reads.extend(staged.reads);
            work.titles.push(title);
        }
        self.work = Some(work);
        Ok(write.counts_rows().then_some(staged.rows))
    }

    /// Work on `branch` as it is now, with the rows on their way in it. A transaction needs
    /// all of them, since its base stands still from then on: rows that queries showed before
    /// would be out of its sight. A single statement needs those it depends on.
    async fn begin(
        &self,
        engine: &Engine,
        branch: String,
        write: &Write,
        scope: &Scope,
    ) -> Result<Work> {
        let work = Work::begin(engine, branch).await?;
        let flushed = match self.explicit {
            true => hot::flush(engine, &work.branch).await?,
            false => hot::flush_for(engine, &work.base, &work.branch, write, scope).await?,
        };
        match flushed {
            true => Work::begin(engine, work.branch).await,
            false => Ok(work),
        }
    }

    /// Commits what is staged; `None` when that is nothing.
    pub(crate) async fn commit(self, engine: &Engine, author: &str) -> Result<Option<CommitId>> {
        let Some(work) = self.work.filter(|work| !work.operations.is_empty()) else {
            return Ok(None);
        };
        let meta = CommitMeta::new(author, message(&work.titles));
        let operations: Vec<Operation> = work.operations.into_values().collect();
        let reads = work.reads.into_iter().collect();
        let commit = engine
            .lake()
            .commit_reading(&work.branch, meta, &work.base, operations, reads)
            .await?;
        Ok(Some(commit.id()))
    }

    /// The branch with changes that are not committed.
    pub(crate) fn changed_branch(&self) -> Option<&str> {
        let work = self.work.as_ref()?;
        (!work.operations.is_empty()).then_some(work.branch.as_str())
    }

    /// Lets `scope` see what is staged.
    pub(crate) fn show_in(&self, scope: &mut Scope) {
        if let Some(work) = &self.work {
            work.show_in(scope);
        }
    }
}

impl Work {
    async fn begin(engine: &Engine, branch: String) -> Result<Self> {
        let catalog = engine.lake().catalog();
        match catalog.reference(&branch).await {
            Ok(found) if found.kind == RefKind::Branch => {}
            Ok(_) => return Err(read_only(&branch, "a tag")),
            Err(error) => {
                return Err(match catalog.resolve_commit(&branch).await {
                    Ok(_) => read_only(&branch, "a commit"),
                    Err(_) => error,
                });
            }
        }
        let base = catalog.head(&branch).await?;
        Ok(Work {
            branch,
            working: base.clone(),
            base,
            operations: BTreeMap::new(),
            titles: Vec::new(),
            reads: BTreeSet::new(),
        })
    }

    fn show_in(&self, scope: &mut Scope) {
        scope
            .working
            .insert(self.branch.clone(), self.working.clone());
    }

    fn add(&mut self, operations: Vec<Operation>) -> Result<()> {
        for operation in operations {
            let key = operation.key().clone();
            let made_here = !self.base.contains(&key)?;
            if made_here && matches!(operation, Operation::Delete { .. }) {
                self.operations.remove(&key);
            } else {
                self.operations.insert(key, operation);
            }
        }
        Ok(())
    }
}

/// One line for one statement; for several a title and a line for each.
fn message(titles: &[String]) -> String {
    match titles {
        [] => String::new(),
        [one] => shortened(one),
        [first, rest @ ..] => {
            let title = shortened(first);
            format!("{title} and {} more\n\n{}", rest.len(), titles.join("\n"))
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn other_branch(ours: &str, other: &str) -> Error {
    Error::invalid(format!(
        "this transaction changes {ours:?}, it cannot change {other:?} too"
    ))
    .with_hint("COMMIT first; a transaction is one commit on one branch")
}

fn read_only(name: &str, what: &str) -> Error {
    Error::invalid(format!("{name:?} is {what}: only branches can be written"))
        .with_hint(format!("CREATE BRANCH b FROM \"{name}\", then write to b"))
}
