//! The outermost gRPC layer: every call is checked before anything else happens, and
//! `GetSchema` is answered, which arrow-flight's Flight SQL layer does not do.
use std::pin::Pin;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{Stream, stream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use crate::flight::auth::Auth;
use crate::flight::reply;
use crate::flight::server::Server;
use crate::flight::sessions::signed_in;
use crate::flight::status::to_status;

type Reply<T> = Result<Response<T>, Status>;
type Many<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// [`Server`] behind its authentication.
pub(crate) struct Guarded {
    auth: Auth,
    server: Server,
}

impl Guarded {
    pub(crate) fn new(auth: Auth, server: Server) -> Self {
        Guarded { auth, server }
    }

    /// The schema of a query, or of a metadata call.
    async fn schema(&self, request: Request<FlightDescriptor>) -> Result<SchemaResult, Status> {
        let command = Any::decode(request.get_ref().cmd.as_ref())
            .ok()
            .and_then(|any| Command::try_from(any).ok());
        let statements = self.server.statements();
        let schema = match command {
            Some(Command::CommandStatementQuery(query)) => {
                let session = self.server.sessions().of(
                    request.extensions(),
                    request.metadata(),
                    query.transaction_id.as_ref(),
                )?;
                statements.describe(&session, &query.query).await
            }
            Some(Command::CommandPreparedStatementQuery(query)) => {
                statements
                    .describe_prepared(&query.prepared_statement_handle)
                    .await
            }
            _ => return self.schema_of_info(request).await,
        };
        let schema = schema.map_err(|error| to_status(&error))?;
        Ok(SchemaResult {
            schema: reply::schema_bytes(&schema)?,
        })
    }

    /// Metadata calls announce their schema with their flight info.
    async fn schema_of_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<SchemaResult, Status> {
        let info = self.server.get_flight_info(request).await?.into_inner();
        Ok(SchemaResult {
            schema: info.schema,
        })
    }
}

#[tonic::async_trait]
impl FlightService for Guarded {
    type HandshakeStream = Many<HandshakeResponse>;
    type ListFlightsStream = Many<FlightInfo>;
    type DoGetStream = Many<FlightData>;
    type DoPutStream = Many<PutResult>;
    type DoExchangeStream = Many<FlightData>;
    type DoActionStream = Many<arrow_flight::Result>;
    type ListActionsStream = Many<ActionType>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Reply<Self::HandshakeStream> {
        self.auth.check(request.metadata())?;
        signed_in(request.extensions(), Auth::user(request.metadata()));
        let bearer = self.auth.bearer();
        let reply = HandshakeResponse {
            protocol_version: 0,
            payload: bearer.clone().into(),
        };
        let replies: Self::HandshakeStream = Box::pin(stream::iter([Ok(reply)]));
        let mut response = Response::new(replies);
        let bearer = bearer.parse();
        let bearer = bearer.map_err(|_| Status::internal("the token is no valid header value"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Reply<Self::ListFlightsStream> {
        self.auth.check(request.metadata())?;
        Err(Status::unimplemented(
            "flights are found by Flight SQL commands, not listed",
        ))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Reply<FlightInfo> {
        self.auth.check(request.metadata())?;
        self.server.get_flight_info(request).await
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Reply<PollInfo> {
        self.auth.check(request.metadata())?;
        Err(Status::unimplemented(
            "polling is not supported; use GetFlightInfo",
        ))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Reply<SchemaResult> {
        self.auth.check(request.metadata())?;
        Ok(Response::new(self.schema(request).await?))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Reply<Self::DoGetStream> {
        self.auth.check(request.metadata())?;
        self.server.do_get(request).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Reply<Self::DoPutStream> {
        self.auth.check(request.metadata())?;
        self.server.do_put(request).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Reply<Self::DoExchangeStream> {
        self.auth.check(request.metadata())?;
        Err(Status::unimplemented(
            "DoExchange is not part of Flight SQL",
        ))
    }

    async fn do_action(&self, request: Request<Action>) -> Reply<Self::DoActionStream> {
        self.auth.check(request.metadata())?;
        self.server.do_action(request).await
    }

    async fn list_actions(&self, request: Request<Empty>) -> Reply<Self::ListActionsStream> {
        self.auth.check(request.metadata())?;
        self.server.list_actions(request).await
    }
}
