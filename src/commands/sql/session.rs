//! Who answers the SQL: a server over Flight, or the lake opened here.

use arrow::datatypes::SchemaRef;
use catalog::{ErrorKind, MAIN, Result};
use futures::StreamExt;
use query::flight::{Answer, BatchStream, Client};
use query::{Outcome, SessionOptions};

use crate::commands::{new_engine, open_lake};
use crate::settings::Settings;

/// Something that answers SQL.
pub(super) struct Session {
    answers: Answers,
    /// The ref of table names without one.
    reference: String,
    in_transaction: bool,
}

enum Answers {
    /// A server: all rows, those just received included.
    Remote(Client),
    /// The lake itself: committed rows.
    Local(query::Session),
}

/// What came of a statement.
pub(super) enum Reply {
    Rows(SchemaRef, BatchStream),
    /// What was done, such as `INSERT 3`, and the commit it made.
    Done {
        message: String,
        commit: Option<String>,
    },
}

impl Session {
    /// Connects to the server that `settings` names; tables named without a ref are
    /// read at `reference`.
    pub(super) async fn remote(settings: &Settings, reference: Option<&str>) -> Result<Self> {
        let token = settings.auth.token.as_ref().map(|token| token.expose());
        let connected = Client::connect(&settings.flight_url(), token).await;
        let mut client = connected.map_err(|error| match error.kind() {
            ErrorKind::Unavailable => error.with_hint(
                "start `pumphouse serve`, or add --local to read the lake without a server",
            ),
            ErrorKind::Unauthenticated => {
                error.with_hint("set PUMPHOUSE_AUTH_TOKEN to the server's token")
            }
            _ => error,
        })?;
        if let Some(reference) = reference {
            client.set_default_ref(reference);
        }
        Ok(Session {
            answers: Answers::Remote(client),
            reference: reference.unwrap_or(MAIN).to_owned(),
            in_transaction: false,
        })
    }

    /// Opens the lake that `settings` names.
    pub(super) async fn local(settings: &Settings, reference: Option<String>) -> Result<Self> {
        let engine = new_engine(settings, open_lake(settings).await?, None);
        let session = engine.session(SessionOptions {
            default_ref: reference,
            author: settings.author(),
        });
        Ok(Session {
            reference: session.reference(),
            answers: Answers::Local(session),
            in_transaction: false,
        })
    }

    /// Starts one statement.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<Reply> {
        let (message, commit) = match &mut self.answers {
            Answers::Remote(client) => match client.execute(sql).await? {
                Answer::Rows(schema, rows) => return Ok(Reply::Rows(schema, rows)),
                Answer::Done(done) => {
                    self.reference = done.reference;
                    (done.message, done.commit)
                }
            },
            Answers::Local(session) => match session.execute(sql, &[]).await? {
                Outcome::Rows(result) => {
                    let rows = result
                        .stream
                        .map(|batch| batch.map_err(query::stream_error));
                    return Ok(Reply::Rows(result.schema, rows.boxed()));
                }
                Outcome::Done {
                    message, commit, ..
                } => {
                    self.reference = session.reference();
                    (message, commit.map(|commit| commit.to_string()))
                }
            },
        };
        match message.as_str() {
            "BEGIN" => self.in_transaction = true,
            "COMMIT" | "ROLLBACK" => self.in_transaction = false,
            _ => {}
        }
        Ok(Reply::Done { message, commit })
    }

    /// What the shell asks with: the ref, and a star in a transaction.
    pub(super) fn prompt(&self) -> String {
        let star = if self.in_transaction { "*" } else { "" };
        format!("{}{star}> ", self.reference)
    }
}
