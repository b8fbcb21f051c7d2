//! Who answers the SQL: a server over Flight, or the lake opened here.

use arrow::datatypes::SchemaRef;
use catalog::{ErrorKind, Result};
use futures::StreamExt;
use query::flight::{BatchStream, Client};
use query::{Engine, QueryOptions};

use crate::commands::{new_engine, open_lake};
use crate::settings::Settings;

/// Something that answers SQL.
pub(super) enum Session {
    /// A server: all rows, those just received included.
    Remote(Client),
    /// The lake itself: committed rows.
    Local {
        engine: Box<Engine>,
        options: QueryOptions,
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
        Ok(Self::Remote(client))
    }

    /// Opens the lake that `settings` names.
    pub(super) async fn local(settings: &Settings, reference: Option<String>) -> Result<Self> {
        let engine = Box::new(new_engine(settings, open_lake(settings).await?, None));
        let options = QueryOptions {
            default_ref: reference,
            ..QueryOptions::default()
        };
        Ok(Self::Local { engine, options })
    }

    /// Starts one statement.
    pub(super) async fn query(&mut self, sql: &str) -> Result<(SchemaRef, BatchStream)> {
        match self {
            Self::Remote(client) => client.query(sql).await,
            Self::Local { engine, options } => {
                let result = engine.query(sql, options).await?;
                let rows = result
                    .stream
                    .map(|batch| batch.map_err(query::stream_error));
                Ok((result.schema, rows.boxed()))
            }
        }
    }
}
