//! Carrying out the statements that do something: writes, transactions, commands.
use arrow::datatypes::SchemaRef;
use catalog::{Error, Result};
use datafusion::common::ScalarValue;

use super::transaction::Transaction;
use super::{Outcome, Session, listing};
use crate::grammar::Command;
use crate::write::Write;

/// A statement that does something.
#[derive(Debug)]
pub(crate) enum Action {
    /// Changes tables, in a commit of its own or in the open transaction.
    Write(Box<Write>),
    /// `BEGIN`
    Begin,
    /// `COMMIT`
    Commit,
    /// `ROLLBACK`
    Rollback,
    /// Works on refs or on the session.
    Command(Command),
}

impl Action {
    /// The statement in a few words.
    pub(crate) fn title(&self) -> String {
        match self {
            Action::Write(write) => write.verb().to_owned(),
            Action::Begin => "BEGIN".to_owned(),
            Action::Commit => "COMMIT".to_owned(),
            Action::Rollback => "ROLLBACK".to_owned(),
            Action::Command(_) => "this statement".to_owned(),
        }
    }

    /// The columns of the rows it gives; `None` where it gives none.
    pub(crate) fn columns(&self) -> Result<Option<SchemaRef>> {
        match self {
            Action::Command(command) => listing::columns(command),
            _ => Ok(None),
        }
    }
}

/// How often a statement is staged anew when commits by others clash with it.
const ATTEMPTS: usize = 5;

impl Session {
    /// Carries `action` out, once for each row of parameter values; a write does so in one
    /// commit.
    pub(crate) async fn act(&self, action: &Action, rows: &[Vec<ScalarValue>]) -> Result<Outcome> {
        match action {
            Action::Write(write) => return self.write(write, rows).await,
            _ if !rows.is_empty() => Err(Error::invalid(format!(
                "{} takes no parameters",
                action.title()
            ))),
            Action::Begin | Action::Commit | Action::Rollback if self.managed => {
                Err(Error::invalid(format!(
                    "{} is not for SQL here: the client has opened this transaction",
                    action.title()
                ))
                .with_hint("use the client's commit and rollback, or its autocommit"))
            }
            Action::Begin => self.begin().await,
            Action::Commit => self.commit().await,
            Action::Rollback => self.roll_back().await,
            Action::Command(command) => self.command(command).await,
        }
    }

    async fn write(&self, write: &Write, rows: &[Vec<ScalarValue>]) -> Result<Outcome> {
        let mut writes = write.bind(rows)?;
        for write in &mut writes {
            write.settle(self.engine.lake()).await?;
        }
        let mut open = self.transaction.lock().await;
        self.check_open(open.as_ref())?;
        if let Some(transaction) = open.as_mut() {
            // Several rows of parameters are one statement: all are staged or none.
            let mut next = transaction.clone();
            let mut count = None;
            for write in &writes {
                add(
                    &mut count,
                    next.stage(&self.engine, self.names(), write).await?,
                );
            }
            *transaction = next;
            return Ok(Outcome::done(write.verb(), count, None));
        }
        drop(open);
        self.write_alone(write, &writes).await
    }

    /// Refuses to work outside of a transaction that the client has ended: what belonged to
    /// it must not be a commit of its own.
    pub(super) fn check_open(&self, open: Option<&Transaction>) -> Result<()> {
        match self.managed && open.is_none() {
            true => Err(Error::invalid("the transaction has ended")
                .with_hint("prepare the statement again, in a new transaction or in none")),
            false => Ok(()),
        }
    }

    async fn write_alone(&self, write: &Write, writes: &[Write]) -> Result<Outcome> {
        let mut attempt = 1;
        loop {
            let mut transaction = Transaction::default();
            let mut count = None;
            for write in writes {
                let staged = transaction.stage(&self.engine, self.names(), write).await?;
                add(&mut count, staged);
            }
            match transaction.commit(&self.engine, &self.author).await {
                Ok(commit) => return Ok(Outcome::done(write.verb(), count, commit)),
                Err(error)
                    if error.kind() == catalog::ErrorKind::Conflict && attempt < ATTEMPTS =>
                {
                    tracing::debug!(%error, attempt, "staging a statement anew");
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn begin(&self) -> Result<Outcome> {
        let mut open = self.transaction.lock().await;
        if open.is_some() {
            return Err(Error::invalid("a transaction is open already")
                .with_hint("end it with COMMIT or ROLLBACK"));
        }
        *open = Some(Transaction::open());
        Ok(Outcome::done("BEGIN", None, None))
    }

    /// Commits the open transaction. When that fails it is over as well: nothing of it is
    /// committed.
    pub(crate) async fn commit(&self) -> Result<Outcome> {
        let transaction = self.transaction.lock().await.take();
        let transaction = transaction.ok_or_else(no_transaction)?;
        let commit = transaction.commit(&self.engine, &self.author).await;
        let commit = commit.map_err(|error| match error.kind() {
            catalog::ErrorKind::Conflict => Error::conflict(format!(
                "the transaction was rolled back: {}",
                error.message()
            ))
            .with_hint("run it again from BEGIN"),
            _ => error,
        })?;
        Ok(Outcome::done("COMMIT", None, commit))
    }

    /// Forgets the open transaction.
    pub(crate) async fn roll_back(&self) -> Result<Outcome> {
        let transaction = self.transaction.lock().await.take();
        transaction.ok_or_else(no_transaction)?;
        Ok(Outcome::done("ROLLBACK", None, None))
    }
}

fn add(sum: &mut Option<u64>, rows: Option<u64>) {
    if let Some(rows) = rows {
        *sum = Some(sum.unwrap_or(0) + rows);
    }
}

fn no_transaction() -> Error {
    Error::invalid("no transaction is open").with_hint("BEGIN opens one")
}
