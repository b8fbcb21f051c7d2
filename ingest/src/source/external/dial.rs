//! The way to the broker: TCP, TLS, WebSocket, or WebSocket over TLS.

use std::sync::Arc;

use catalog::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::config::{Endpoint, TlsFiles};
use crate::source::tls::{certificates, key, provider, roots};
use crate::source::websocket::{SUBPROTOCOL, SUBPROTOCOL_HEADER, WebSocket, config};

/// A connection whose kind is known when it is opened.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Opens connections to one broker.
pub(super) struct Dialer {
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
    max_packet_bytes: u32,
}

impl Dialer {
    /// # Errors
    /// `InvalidInput` naming a certificate or key that cannot be used.
    pub(super) fn new(endpoint: Endpoint, files: &TlsFiles, max_packet_bytes: u32) -> Result<Self> {
        let tls = endpoint.tls.then(|| connector(files)).transpose()?;
        Ok(Self {
            endpoint,
            tls,
            max_packet_bytes,
        })
    }

    /// A new connection.
    ///
    /// # Errors
    /// `Unavailable` saying at which step it failed.
    pub(super) async fn dial(&self) -> Result<Box<dyn ByteStream>> {
        let Endpoint { host, port, .. } = &self.endpoint;
        let socket = TcpStream::connect((host.as_str(), *port))
            .await
            .map_err(|e| failed("connect", &e))?;
        // Acknowledgements are batched here already.
        let _ = socket.set_nodelay(true);
        let stream: Box<dyn ByteStream> = match &self.tls {
            None => Box::new(socket),
            Some(tls) => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|e| Error::invalid(format!("MQTT broker: '{host}': {e}")))?;
                let stream = tls.connect(name, socket).await;
                Box::new(stream.map_err(|e| failed("make a TLS connection", &e))?)
            }
        };
        match self.endpoint.path {
            None => Ok(stream),
            Some(_) => self.upgrade(stream).await,
        }
    }

    async fn upgrade(&self, stream: Box<dyn ByteStream>) -> Result<Box<dyn ByteStream>> {
        let mut request = self
            .endpoint
            .websocket_url()
            .into_client_request()
            .map_err(|e| failed("ask for a WebSocket", &e))?;
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(SUBPROTOCOL_HEADER, protocol);
        let config = Some(config(self.max_packet_bytes));
        let (socket, _) = client_async_with_config(request, stream, config)
            .await
            .map_err(|e| failed("open a WebSocket", &e))?;
        Ok(Box::new(WebSocket::new(socket)))
    }
}

fn connector(files: &TlsFiles) -> Result<TlsConnector> {
    let roots = match &files.ca {
        Some(ca) => roots(ca)?,
        None => trusted(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("TLS cannot be set up").with_source(e))?
        .with_root_certificates(roots);
    let config = match (&files.cert, &files.key) {
        (Some(cert), Some(private)) => builder
            .with_client_auth_cert(certificates(cert)?, key(private)?)
            .map_err(|e| {
                Error::invalid(format!("{}: {e}", cert.display()))
                    .with_hint("check that the certificate and the key belong together")
            })?,
        _ => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The authorities this machine trusts.
fn trusted() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of this machine cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!("MQTT broker: cannot {what}: {error}"))
        .with_hint("check the broker's address, that it runs, and its certificate")
}
