//! Where clients come in: the listeners, and what they know of who knocks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Error, Result};
use tokio::net::{TcpListener, TcpStream};

use super::Hub;
use super::auth::Peer;
use crate::config::BrokerConfig;

/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The open ports.
pub(super) struct Listener {
    tcp: TcpListener,
}

impl Listener {
    /// # Errors
    /// `AlreadyExists` when the port is in use, `InvalidInput` for an address that cannot be had.
    pub(super) async fn bind(config: &BrokerConfig) -> Result<Self> {
        let tcp = TcpListener::bind(config.listen).await.map_err(|e| {
            let what = format!("cannot listen for MQTT on {}: {e}", config.listen);
            let error = match e.kind() {
                std::io::ErrorKind::AddrInUse => Error::already_exists(what)
                    .with_hint("stop the program that listens there, or choose another port"),
                _ => Error::invalid(what).with_hint("choose an address of this machine"),
            };
            error.with_source(e)
        })?;
        Ok(Self { tcp })
    }

    /// The address, with the port the system chose when 0 was asked for.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.tcp.local_addr().ok()
    }

    /// Accepts clients until the hub is told to stop.
    pub(super) async fn run(self, hub: Arc<Hub>) {
        loop {
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = hub.stop.cancelled() => return,
            };
            match accepted {
                Ok((socket, address)) => serve(&hub, socket, address),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an MQTT connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn serve(hub: &Arc<Hub>, socket: TcpStream, address: SocketAddr) {
    // Small packets are batched by the broker already.
    let _ = socket.set_nodelay(true);
    let (read, write) = socket.into_split();
    hub.serve_halves(read, write, Peer { address });
}
