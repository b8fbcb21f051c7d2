//! A thin Flight SQL client, as the CLI uses it.
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::HandshakeRequest;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use catalog::{Error, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::flight::REF_HEADER;
use crate::flight::done::{self, Done};
use crate::flight::status::{from_flight, from_status};

/// Rows of a result; errors carry the server's kind and text.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answers to a statement.
pub enum Answer {
    /// Rows and their schema.
    Rows(SchemaRef, BatchStream),
    /// The statement is carried out.
    Done(Done),
}

/// A connection to a Flight SQL server.
pub struct Client {
    inner: FlightSqlServiceClient<Channel>,
}

impl Client {
    /// Connects to `address` ("host:port", "grpc://host:port" or "http://host:port").
    ///
    /// # Errors
    /// `InvalidInput` for an address that cannot be read, `Unavailable` when nobody
    /// listens there, `Unauthenticated` for a wrong or missing token.
    pub async fn connect(address: &str, token: Option<&str>) -> Result<Client> {
        let channel = endpoint(address)?.connect().await.map_err(|error| {
            Error::unavailable(format!("cannot connect to {address}"))
                .with_hint("is `pumphouse serve` running there?")
                .with_source(error)
        })?;
        let mut client = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let mut hello = Request::new(stream::iter([HandshakeRequest::default()]));
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse();
            let bearer = bearer
                .map_err(|_| Error::invalid("the token has characters no header can carry"))?;
            hello.metadata_mut().insert("authorization", bearer);
        }
        let replies = client.handshake(hello).await;
        let mut replies = replies.map_err(|status| from_status(&status))?.into_inner();
        while let Some(_reply) = replies
            .message()
            .await
            .map_err(|status| from_status(&status))?
        {}
        let mut inner = FlightSqlServiceClient::new_from_inner(client);
        if let Some(token) = token {
            inner.set_token(token.to_owned());
        }
        Ok(Client { inner })
    }

    /// Reads table names without a ref from `name`, a branch, commit or `branch@time`,
    /// from now on.
    pub fn set_default_ref(&mut self, name: &str) {
        self.inner.set_header(REF_HEADER, name);
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// Those of [`crate::Session::execute`] on the other side, and `Unavailable` when the
    /// connection breaks.
    pub async fn execute(&mut self, sql: &str) -> Result<Answer> {
        let info = self.inner.execute(sql.to_owned(), None).await;
        let info = info.map_err(|error| from_flight(&error))?;
        let schema = info.clone().try_decode_schema().map_err(|error| {
            Error::unavailable("the server sent no readable schema").with_source(error)
        })?;
        let mut parts = Vec::with_capacity(info.endpoint.len());
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or_else(|| {
                Error::unavailable("the server sent an endpoint without a ticket")
            })?;
            let rows = self.inner.do_get(ticket).await;
            parts.push(rows.map_err(|error| from_flight(&error))?);
        }
        let rows = stream::iter(parts).flatten();
        let mut rows = rows.map_err(|error| from_flight(&error)).boxed();
        if let Some(reference) = done::mark(&schema) {
            let batch = rows.try_next().await?;
            let done = batch.and_then(|batch| done::read(reference, &batch));
            let done = done.ok_or_else(|| {
                Error::unavailable("the server sent an answer that cannot be read")
            })?;
            return Ok(Answer::Done(done));
        }
        Ok(Answer::Rows(Arc::new(schema), rows))
    }

    /// Runs one statement that reads; its rows arrive as the stream is polled.
    ///
    /// # Errors
    /// Those of [`Client::execute`], and `InvalidInput` for a statement without rows: it
    /// has run then.
    pub async fn query(&mut self, sql: &str) -> Result<(SchemaRef, BatchStream)> {
        match self.execute(sql).await? {
            Answer::Rows(schema, rows) => Ok((schema, rows)),
            Answer::Done(done) => Err(Error::invalid(format!(
                "the statement gives no rows: {}",
                done.message
            ))),
        }
    }

    /// Runs one statement that reads and gathers its rows.
    ///
    /// # Errors
    /// Those of [`Client::query`].
    pub async fn collect(&mut self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let (schema, rows) = self.query(sql).await?;
        Ok((schema, rows.try_collect().await?))
    }
}

fn endpoint(address: &str) -> Result<Endpoint> {
    let rest = address
        .strip_prefix("grpc://")
        .or_else(|| address.strip_prefix("grpc+tcp://"))
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    if rest.contains("://") {
        return Err(Error::invalid(format!("cannot use the address {address}"))
            .with_hint("write host:port, for example 127.0.0.1:50051"));
    }
    let endpoint = Endpoint::from_shared(format!("http://{rest}")).map_err(|error| {
        Error::invalid(format!("cannot read the address {address}: {error}"))
            .with_hint("write host:port, for example 127.0.0.1:50051")
    })?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "127.0.0.1:1",
            "grpc://localhost:1",
            "http://localhost:1",
            "grpc+tcp://[::1]:1",
        ] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "https://localhost:1",
            "grpc+tls://localhost:1",
            "",
            "no port here",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
