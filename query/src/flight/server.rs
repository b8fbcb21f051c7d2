//! The Flight SQL commands, each answered by the engine.

use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, ActionEndTransactionRequest, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, EndTransaction, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, Ticket};
use bytes::Bytes;
use catalog::Result;
use futures::stream;
use prost::Message;
use tonic::{Request, Response, Status};

use crate::flight::reply::{self, DataStream};
use crate::flight::sessions::Sessions;
use crate::flight::statements::{Statements, affected};
use crate::flight::status::to_status;
use crate::flight::{info, ingest, keys, listing, options, params};
use crate::{Engine, Outcome, Session};

type InfoReply = Result<Response<FlightInfo>, Status>;
type DataReply = Result<Response<DataStream>, Status>;

/// The Flight SQL service over one engine.
pub(crate) struct Server {
    engine: Engine,
    sessions: Sessions,
    statements: Statements,
    sql_info: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl Server {
    pub(crate) fn new(engine: Engine) -> Self {
        Server {
            sessions: Sessions::new(engine.clone()),
            statements: Statements::new(),
            sql_info: info::sql_info(&engine),
            types: info::type_info(),
            engine,
        }
    }

    pub(crate) fn statements(&self) -> &Statements {
        &self.statements
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The session of `request`, or of the transaction it names.
    fn session<T>(
        &self,
        request: &Request<T>,
        transaction: Option<&Bytes>,
    ) -> Result<Session, Status> {
        self.sessions
            .of(request.extensions(), request.metadata(), transaction)
    }

    /// Lets a prepared statement follow its client into the transaction after its own.
    async fn follow<T>(&self, request: &Request<T>, handle: &[u8]) -> Result<(), Status> {
        if self.statements.ended(handle).await
            && let Some(next) = self
                .sessions
                .next(request.extensions(), request.metadata())?
        {
            self.statements.move_to(handle, next);
        }
        Ok(())
    }
}

/// The answer to a query that was planned: its handle wrapped into a ticket.
fn planned(planned: Result<(SchemaRef, Bytes)>, descriptor: FlightDescriptor) -> InfoReply {
    let (schema, statement_handle) = planned.map_err(|error| to_status(&error))?;
    let ticket = TicketStatementQuery { statement_handle };
    reply::info(&schema, ticket.as_any().encode_to_vec(), descriptor)
}

#[tonic::async_trait]
impl FlightSqlService for Server {
    type FlightService = Server;

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        let session = self.session(&request, query.transaction_id.as_ref())?;
        let plan = self.statements.plan(&session, &query.query);
        planned(plan.await, request.into_inner())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        self.follow(&request, &query.prepared_statement_handle)
            .await?;
        let plan = self
            .statements
            .plan_prepared(&query.prepared_statement_handle);
        planned(plan.await, request.into_inner())
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&query.into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&query.into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&query.into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&query.into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_sql_info(
        &self,
        _query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&self.sql_info.schema(), request.into_inner())
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        _query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&self.types.schema(), request.into_inner())
    }

    async fn get_flight_info_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&keys::primary_keys(), request.into_inner())
    }

    async fn get_flight_info_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&keys::foreign_keys(), request.into_inner())
    }

    async fn get_flight_info_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&keys::foreign_keys(), request.into_inner())
    }

    async fn get_flight_info_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> InfoReply {
        reply::command_info(&keys::foreign_keys(), request.into_inner())
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        _request: Request<Ticket>,
    ) -> DataReply {
        let rows = self.statements.run(&ticket.statement_handle);
        let rows = rows.map_err(|error| to_status(&error))?;
        Ok(reply::rows(rows.schema(), rows))
    }

    /// For clients that take the handle itself for a ticket.
    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> DataReply {
        self.follow(&request, &query.prepared_statement_handle)
            .await?;
        let planned = self
            .statements
            .plan_prepared(&query.prepared_statement_handle);
        let (_, handle) = planned.await.map_err(|error| to_status(&error))?;
        let rows = self.statements.run(&handle);
        let rows = rows.map_err(|error| to_status(&error))?;
        Ok(reply::rows(rows.schema(), rows))
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        _request: Request<Ticket>,
    ) -> DataReply {
        reply::batch(listing::catalogs(&self.engine, query).await)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _request: Request<Ticket>,
    ) -> DataReply {
        reply::batch(listing::schemas(&self.engine, query).await)
    }

    async fn do_get_tables(&self, query: CommandGetTables, _request: Request<Ticket>) -> DataReply {
        reply::batch(listing::tables(&self.engine, query).await)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> DataReply {
        reply::batch(listing::table_types(query))
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> DataReply {
        let infos = query.into_builder(&self.sql_info).build();
        reply::batch(infos.map_err(listing::building))
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _request: Request<Ticket>,
    ) -> DataReply {
        let types = query.into_builder(&self.types).build();
        reply::batch(types.map_err(listing::building))
    }

    async fn do_get_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        _request: Request<Ticket>,
    ) -> DataReply {
        Ok(reply::nothing(keys::primary_keys()))
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        _request: Request<Ticket>,
    ) -> DataReply {
        Ok(reply::nothing(keys::foreign_keys()))
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        _request: Request<Ticket>,
    ) -> DataReply {
        Ok(reply::nothing(keys::foreign_keys()))
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        _request: Request<Ticket>,
    ) -> DataReply {
        Ok(reply::nothing(keys::foreign_keys()))
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let session = self.session(&request, command.transaction_id.as_ref())?;
        let rows = self.statements.update(&session, &command.query).await;
        rows.map_err(|error| to_status(&error))
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let session = self.session(&request, command.transaction_id.as_ref())?;
        let action = ingest::action(command, request.into_inner()).await?;
        let loaded = session.act(&action, &[]).await;
        match loaded.map_err(|error| to_status(&error))? {
            Outcome::Done { rows_affected, .. } => Ok(affected(rows_affected)),
            Outcome::Rows(_) => Ok(affected(None)),
        }
    }

    async fn do_put_prepared_statement_update(
        &self,
        command: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let handle = command.prepared_statement_handle;
        self.follow(&request, &handle).await?;
        let rows = params::read(request.into_inner(), params::MOST_UPDATES).await?;
        let rows = self.statements.update_prepared(&handle, rows).await;
        rows.map_err(|error| to_status(&error))
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let rows = params::read(request.into_inner(), params::MOST_QUERIES).await?;
        let handle = query.prepared_statement_handle;
        let bound = self.statements.bind(&handle, rows);
        bound.map_err(|error| to_status(&error))?;
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(handle),
        })
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let session = self.session(&request, query.transaction_id.as_ref())?;
        let prepared = self.statements.prepare(session, query.query).await;
        let prepared = prepared.map_err(|error| to_status(&error))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: prepared.handle,
            dataset_schema: reply::schema_bytes(&prepared.columns)?,
            parameter_schema: reply::schema_bytes(&prepared.parameters)?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        self.statements.close(&query.prepared_statement_handle);
        Ok(())
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        let begun = self
            .sessions
            .begin(request.extensions(), request.metadata());
        Ok(ActionBeginTransactionResult {
            transaction_id: begun?,
        })
    }

    async fn do_action_end_transaction(
        &self,
        query: ActionEndTransactionRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        let session = self.sessions.end(&query.transaction_id)?;
        let ended = match query.action() {
            EndTransaction::Commit => session.commit().await,
            EndTransaction::Rollback | EndTransaction::Unspecified => session.roll_back().await,
        };
        ended.map_err(|error| to_status(&error))?;
        Ok(())
    }

    /// Session options; a session is kept as long as its connection.
    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        /// `CloseSessionResult { status: CLOSED }`, a message arrow-flight has no type for.
        const CLOSED: &[u8] = &[0x08, 0x01];
        let session = self.session(&request, None)?;
        let action = request.into_inner();
        let answer = match action.r#type.as_str() {
            "CloseSession" => {
                // Nothing may be open, which is as good as rolled back.
                let _ = session.roll_back().await;
                session.reset_place();
                CLOSED.to_vec()
            }
            "SetSessionOptions" => options::set(&session, &action.body).await?,
            "GetSessionOptions" => options::get(&session),
            other => return Err(Status::unimplemented(format!("no action \"{other}\" here"))),
        };
        let result = arrow_flight::Result::new(answer);
        Ok(Response::new(Box::pin(stream::iter([Ok(result)]))))
    }

    /// All infos are given when the server is built.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
