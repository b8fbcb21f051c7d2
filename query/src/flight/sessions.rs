//! Which session a call belongs to: that of its connection, or of the transaction it names.
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

use crate::flight::REF_HEADER;
use crate::flight::auth::Auth;
use crate::flight::handles::Handles;
use crate::{Engine, Session, SessionOptions};

/// A transaction lasts as long as its connection may sit idle.
const TRANSACTIONS: (usize, Duration) = (8192, Duration::from_secs(24 * 3600));

/// What is kept for one connection, and gone with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection(Arc<State>);

impl Connection {
    fn begun(&self) -> MutexGuard<'_, Vec<Bytes>> {
        self.0.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct State {
    session: OnceLock<Session>,
    /// Whom the client said it is when it signed in.
    user: OnceLock<String>,
    /// Transactions begun here, ended ones among them.
    begun: Mutex<Vec<Bytes>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("user", &self.user.get())
            .finish_non_exhaustive()
    }
}

/// The sessions of one server.
pub(crate) struct Sessions {
    engine: Engine,
    transactions: Handles<Session>,
}

impl Sessions {
    pub(crate) fn new(engine: Engine) -> Self {
        Sessions {
            engine,
            transactions: Handles::new(TRANSACTIONS.0, TRANSACTIONS.1),
        }
    }

    /// The session of a call: names without a ref mean what its header says, and its author
    /// is the user it names beside a password, or who signed in on its connection.
    ///
    /// # Errors
    /// `NotFound` for a transaction that has ended, `InvalidArgument` for an unreadable header.
    pub(crate) fn of(
        &self,
        extensions: &Extensions,
        metadata: &MetadataMap,
        transaction: Option<&Bytes>,
    ) -> Result<Session, Status> {
        let transaction = transaction.filter(|id| !id.is_empty());
        let session = match transaction {
            Some(id) => self.transaction(id)?,
            None => self.of_connection(extensions),
        };
        let session = match Auth::user(metadata) {
            Some(user) => session.by(&user),
            None => session,
        };
        Ok(match default_ref(metadata)? {
            Some(reference) => session.at(&reference),
            None => session,
        })
    }

    /// Opens a transaction in the session of a call.
    pub(crate) fn begin(
        &self,
        extensions: &Extensions,
        metadata: &MetadataMap,
    ) -> Result<Bytes, Status> {
        let session = self.of(extensions, metadata, None)?;
        let id = self.transactions.insert(session.begun());
        if let Some(connection) = extensions.get::<Connection>() {
            let mut begun = connection.begun();
            begun.retain(|id| self.is_open(id));
            begun.push(id.clone());
        }
        Ok(id)
    }

    /// The one open transaction of a call's connection, if there is just one: clients that
    /// work without autocommit begin the next when one ends, and go on with statements they
    /// prepared before.
    pub(crate) fn next(
        &self,
        extensions: &Extensions,
        metadata: &MetadataMap,
    ) -> Result<Option<Session>, Status> {
        let Some(connection) = extensions.get::<Connection>() else {
            return Ok(None);
        };
        let mut open = connection.begun().clone();
        open.retain(|id| self.is_open(id));
        match open.as_slice() {
            [one] => self.of(extensions, metadata, Some(one)).map(Some),
            _ => Ok(None),
        }
    }

    fn is_open(&self, id: &[u8]) -> bool {
        self.transactions.with(id, |_| ()).is_some()
    }

    /// Gives up the handle of a transaction that is to end.
    pub(crate) fn end(&self, transaction: &[u8]) -> Result<Session, Status> {
        let session = self.transactions.take(transaction);
        session.ok_or_else(no_transaction)
    }

    fn transaction(&self, id: &[u8]) -> Result<Session, Status> {
        let session = self.transactions.with(id, |session| session.clone());
        session.ok_or_else(no_transaction)
    }

    fn of_connection(&self, extensions: &Extensions) -> Session {
        let Some(Connection(state)) = extensions.get::<Connection>() else {
            return self.session(None);
        };
        let session = state
            .session
            .get_or_init(|| self.session(state.user.get().cloned()));
        session.clone()
    }

    fn session(&self, user: Option<String>) -> Session {
        self.engine.session(SessionOptions {
            default_ref: None,
            author: user.unwrap_or_else(|| self.engine.config().author.clone()),
        })
    }
}

/// Remembers who signed in on a connection.
pub(crate) fn signed_in(extensions: &Extensions, user: Option<String>) {
    let connection = extensions.get::<Connection>();
    if let (Some(Connection(state)), Some(user)) = (connection, user) {
        // The first name stays: a session has one author.
        let _ = state.user.set(user);
    }
}

fn no_transaction() -> Status {
    Status::not_found(
        "no such transaction: it has ended, was idle for too long, or the server restarted (begin it again)",
    )
}

fn default_ref(metadata: &MetadataMap) -> Result<Option<String>, Status> {
    let Some(value) = metadata.get(REF_HEADER) else {
        return Ok(None);
    };
    let value = value.to_str();
    let value = value.map_err(|_| Status::invalid_argument("the ref header is not text"))?;
    Ok(Some(value.to_owned()).filter(|value| !value.is_empty()))
}
