//! The listening side: socket, limits, shutdown.
use std::future::Future;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use catalog::{Error, Result};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;

use crate::Engine;
use crate::flight::auth::Auth;
use crate::flight::connection::Socket;
use crate::flight::server::Server;
use crate::flight::service::Guarded;

/// Largest message: SQL text, parameters, one batch of loaded rows.
const MAX_REQUEST_BYTES: usize = 64 << 20;
/// Clients that vanish without closing are noticed, and their queries end.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long running queries may go on after shutdown was asked for.
const GRACE: Duration = Duration::from_secs(10);

/// Serves Flight SQL on `listener` until `shutdown` resolves; with a token every call must
/// carry it, as bearer token or as the password of any user.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    engine: Engine,
    listener: TcpListener,
    token: Option<String>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let (stop, stopped) = watch::channel(false);
    let service = Guarded::new(Auth::new(token), Server::new(engine));
    let service = FlightServiceServer::new(service)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(usize::MAX);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = incoming.map(|stream| stream.map(Socket::new));
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, wait(stopped));
    let deadline = async {
        shutdown.await;
        stop.send_replace(true);
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served.map_err(|error| {
            Error::unavailable("the Flight SQL server stopped").with_source(error)
        }),
        () = deadline => {
            tracing::warn!(seconds = GRACE.as_secs(), "queries still running were cut off");
            Ok(())
        }
    }
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // A closed channel means that `serve` itself is gone.
    let _closed = stopped.wait_for(|stopped| *stopped).await;
}
