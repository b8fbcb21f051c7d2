//! Commands on refs and on the session: branches, tags, merges, the log, `USE`.
use catalog::{Error, ErrorKind, MAIN, MergeOptions, RefKind, Result, Side};

use super::{Outcome, Session, listing};
use crate::grammar::{Call, Command};

/// Commits that `SHOW LOG` lists without a limit of its own.
const LOG: usize = 100;
/// The most it lists at all.
const LONGEST_LOG: u64 = 100_000;

impl Session {
    pub(super) async fn command(&self, command: &Command) -> Result<Outcome> {
        match command {
            Command::Use(name) => {
                self.use_reference(name).await?;
                Ok(Outcome::done(&format!("USE {name}"), None, None))
            }
            Command::UseNamespace(name) => {
                self.use_namespace(name);
                Ok(Outcome::done(&format!("USE SCHEMA {name}"), None, None))
            }
            Command::ShowRefs(kind) => self.show_refs(*kind).await,
            Command::ShowLog { reference, limit } => {
                self.show_log(reference.as_deref(), *limit).await
            }
            _ => self.change_refs(command).await,
        }
    }

    async fn show_refs(&self, kind: RefKind) -> Result<Outcome> {
        let catalog = self.engine.lake().catalog();
        let refs = match kind {
            RefKind::Branch => catalog.branches().await?,
            RefKind::Tag => catalog.tags().await?,
        };
        listing::refs(&refs).map(Outcome::listing)
    }

    async fn show_log(&self, reference: Option<&str>, limit: Option<u64>) -> Result<Outcome> {
        let spec = reference.map_or_else(|| self.reference(), str::to_owned);
        let limit = limit.map_or(LOG, |limit| {
            usize::try_from(limit.min(LONGEST_LOG)).unwrap_or(LOG)
        });
        let commits = self.engine.lake().catalog().log(&spec, limit).await?;
        listing::log(&commits).map(Outcome::listing)
    }

    /// What moves refs is not part of a transaction, so that none may hold changes meanwhile.
    async fn change_refs(&self, command: &Command) -> Result<Outcome> {
        let open = self.transaction.lock().await;
        self.check_open(open.as_ref())?;
        if let Some(branch) = open.as_ref().and_then(|open| open.changed_branch()) {
            return Err(Error::invalid(format!(
                "this transaction has changes of {branch:?} that are not committed"
            ))
            .with_hint("COMMIT or ROLLBACK first: branches and tags change at once"));
        }
        match command {
            Command::CreateRef {
                kind,
                name,
                if_not_exists,
                from,
            } => {
                self.create_ref(*kind, name, *if_not_exists, from.as_deref())
                    .await
            }
            Command::DropRef {
                kind,
                name,
                if_exists,
            } => self.drop_ref(*kind, name, *if_exists).await,
            Command::Merge {
                source,
                target,
                on_conflict,
                dry_run,
            } => {
                self.merge(source, target.as_deref(), *on_conflict, *dry_run)
                    .await
            }
            Command::Call(call) => self.call(call).await,
            _ => Err(Error::internal("a reading command was to change refs")),
        }
    }

    async fn create_ref(
        &self,
        kind: RefKind,
        name: &str,
        if_not_exists: bool,
        from: Option<&str>,
    ) -> Result<Outcome> {
        let catalog = self.engine.lake().catalog();
        let from = from.map_or_else(|| self.reference(), str::to_owned);
        let created = match kind {
            RefKind::Branch => catalog.create_branch(name, &from, &self.author).await,
            RefKind::Tag => catalog.create_tag(name, &from, &self.author).await,
        };
        match created {
            Err(error) if if_not_exists && error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let verb = match kind {
            RefKind::Branch => "CREATE BRANCH",
            RefKind::Tag => "CREATE TAG",
        };
        Ok(Outcome::done(verb, None, None))
    }

    async fn drop_ref(&self, kind: RefKind, name: &str, if_exists: bool) -> Result<Outcome> {
        if name == self.reference() && name != MAIN {
            return Err(Error::invalid(format!("{name:?} is in use here"))
                .with_hint("USE another ref first"));
        }
        let catalog = self.engine.lake().catalog();
        let dropped = match kind {
            RefKind::Branch => catalog.delete_branch(name, &self.author).await,
            RefKind::Tag => catalog.delete_tag(name, &self.author).await,
        };
        match dropped {
            Err(error) if if_exists && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let verb = match kind {
            RefKind::Branch => "DROP BRANCH",
            RefKind::Tag => "DROP TAG",
        };
        Ok(Outcome::done(verb, None, None))
    }

    async fn merge(
        &self,
        source: &str,
        target: Option<&str>,
        on_conflict: Option<Side>,
        dry_run: bool,
    ) -> Result<Outcome> {
        let target = target.map_or_else(|| self.reference(), str::to_owned);
        let options = MergeOptions {
            dry_run,
            resolve_rest: on_conflict,
            ..self.merge_options()
        };
        let report = self.engine.lake().merge(source, &target, &options).await?;
        if dry_run {
            return listing::merge(&report).map(Outcome::listing);
        }
        Ok(merged("MERGE", &report.into_result()?))
    }

    async fn call(&self, call: &Call) -> Result<Outcome> {
        let lake = self.engine.lake();
        let options = self.merge_options();
        let branch = |branch: &Option<String>| branch.clone().unwrap_or_else(|| self.reference());
        match call {
            Call::Revert { commit, branch: on } => {
                let report = lake.revert(commit, &branch(on), &options).await?;
                Ok(merged("REVERT", &report.into_result()?))
            }
            Call::CherryPick { commit, branch: on } => {
                let report = lake.cherry_pick(commit, &branch(on), &options).await?;
                Ok(merged("CHERRY PICK", &report.into_result()?))
            }
        }
    }

    fn merge_options(&self) -> MergeOptions {
        MergeOptions {
            author: self.author.to_string(),
            ..MergeOptions::default()
        }
    }
}

/// The answer to a merge, revert or cherry-pick that went through.
fn merged(verb: &str, report: &catalog::MergeReport) -> Outcome {
    Outcome::Done {
        message: format!("{verb}: {}", listing::outcome(report)),
        rows_affected: None,
        commit: report.commit,
    }
}
