//! Where clients come in: over TCP, TLS, WebSocket, or WebSocket over TLS, each at its own address.
//!
//! Accepting waits for no client: the handshakes of TLS and WebSocket are done in the connection's
//! own task, in a limited time.

mod metered;
mod subject;
mod tls;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use catalog::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::metered::Metered;
use super::Hub;
use super::auth::Peer;
use crate::config::{BrokerConfig, Door};

/// Connections that the system holds ready to be accepted.
const BACKLOG: u32 = 1_024;
/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client has this long for the handshakes before its CONNECT.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The open ports.
pub(super) struct Listener {
    open: Vec<OpenDoor>,
}

/// An address that is listened on.
struct OpenDoor {
    door: Door,
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Listens on every address that is on.
    ///
    /// # Errors
    /// `AlreadyExists` when a port is in use, `InvalidInput` for an address that cannot be had and
    /// for certificates of no use.
    pub(super) async fn bind(config: &BrokerConfig) -> Result<Self> {
        let mut open = Vec::new();
        let mut acceptor = None;
        for mut door in config.doors() {
            if door.tls && acceptor.is_none() {
                acceptor = Some(tls::acceptor(&config.tls)?);
            }
            if door.is_public() && !door.tls && config.users.is_some() {
                tracing::warn!(
                    address = %door.address,
                    "{} takes passwords from other machines without TLS: who listens in learns them",
                    door.setting
                );
            }
            let socket = bind(&door)?;
            door.address = socket.local_addr().unwrap_or(door.address);
            let tls = acceptor.clone().filter(|_| door.tls);
            open.push(OpenDoor { door, socket, tls });
        }
        Ok(Self { open })
    }

    /// The addresses by name, with the ports the system chose when 0 was asked for.
    pub(super) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let doors = self.open.iter().map(|open| open.door);
        doors.map(|door| (door.name, door.address)).collect()
    }

    /// Accepts clients until the hub is told to stop.
    pub(super) async fn run(self, hub: Arc<Hub>) {
        let mut doors = JoinSet::new();
        for open in self.open {
            doors.spawn(open.run(Arc::clone(&hub)));
        }
        doors.join_all().await;
    }
}

/// Connections inherit from the listener that the system asks now and then whether a silent client
/// is still there: one without keep alive would stay for ever.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind(door: &Door) -> Result<TcpListener> {
    listen(door.address).map_err(|e| {
        let what = format!("cannot listen for MQTT on {}: {e}", door.address);
        let error = match e.kind() {
            std::io::ErrorKind::AddrInUse => Error::already_exists(what)
                .with_hint("stop the program that listens there, or choose another port"),
            _ => Error::invalid(what).with_hint("choose an address of this machine"),
        };
        error.with_source(e)
    })
}

impl OpenDoor {
    async fn run(self, hub: Arc<Hub>) {
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = hub.stop.cancelled() => return,
            };
            let pause = match accepted {
                Ok((socket, address)) => {
                    self.let_in(&hub, socket, address);
                    hub.limits.pause()
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an MQTT connection");
                    ACCEPT_PAUSE
                }
            };
            if !pause.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = hub.stop.cancelled() => return,
                }
            }
        }
    }

    /// Serves a client in a task of its own, unless there are too many.
    fn let_in(&self, hub: &Arc<Hub>, socket: TcpStream, address: SocketAddr) {
        let Some(place) = hub.limits.arrive() else {
            tracing::info!(%address, "too many MQTT connections, this one is closed");
            hub.counters.broker.refused_connections.add(1);
            return;
        };
        // Small packets are batched by the broker already.
        let _ = socket.set_nodelay(true);
        let peer = Peer {
            address,
            public: self.door.is_public(),
            certificate: None,
        };
        if self.tls.is_none() && !self.door.websocket {
            let (read, write) = socket.into_split();
            hub.serve_halves(read, write, peer, place);
            return;
        }
        let tls = self.tls.clone();
        let web = self.door.websocket.then(|| place.admitted());
        let hub = Arc::clone(hub);
        hub.tracker.clone().spawn(async move {
            let shaken = shake_hands(&hub, socket, tls, web, peer);
            let shaken = tokio::select! {
                shaken = timeout(HANDSHAKE_TIMEOUT, shaken) => shaken,
                () = place.evicted() => return,
                () = hub.stop.cancelled() => return,
            };
            match shaken {
                Ok(Ok((stream, peer))) => hub.serve(stream, peer, place),
                Ok(Err(error)) => tracing::debug!(%address, %error, "a failed handshake"),
                Err(_) => tracing::debug!(%address, "a handshake that took too long"),
            }
        });
    }
}

/// A stream whose kind is known when it is opened: one kind of connection for all but plain TCP.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

type Stream = Box<dyn ByteStream>;

/// Does what comes before the CONNECT. `web` is for WebSocket, and tells when the client is let in.
async fn shake_hands(
    hub: &Hub,
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    web: Option<Arc<AtomicBool>>,
    mut peer: Peer,
) -> std::result::Result<(Stream, Peer), Box<dyn std::error::Error + Send + Sync>> {
    let stream: Stream = match tls {
        Some(acceptor) => {
            let stream = acceptor.accept(socket).await?;
            peer.certificate = tls::user(&stream);
            Box::new(stream)
        }
        None => Box::new(socket),
    };
    let Some(admitted) = web else {
        return Ok((stream, peer));
    };
    let stream = Metered::new(stream, admitted);
    let pages = peer.public || !hub.access.is_open();
    let upgraded = upgrade::upgrade(stream, hub.max_packet_bytes, pages).await?;
    Ok((Box::new(upgraded), peer))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silent_clients_are_asked_whether_they_are_there() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let _accepted = listener.accept().await.unwrap();
        let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        // proc(5): number, local and remote address, state, queues, timer. State 1 is established,
        // timer 2 is that of keep alive.
        let local = format!("0100007F:{:04X}", address.port());
        let mut lines = sockets.lines().map(|l| l.split_whitespace().collect());
        let found = lines.find(|f: &Vec<&str>| f[1] == local && f[3] == "01");
        let timer = found.unwrap()[5].to_owned();
        assert!(timer.starts_with("02:"), "{timer}");
    }
}
