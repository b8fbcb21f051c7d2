//! TLS: the broker's certificate and key, and the authority that signs its clients' certificates.

use std::path::Path;
use std::sync::Arc;

use catalog::{Error, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::server::TlsStream;

use super::subject;
use crate::config::TlsFiles;
use crate::source::tls::{certificates, key, provider, roots};

/// How TLS connections are accepted, from PEM files.
///
/// With an authority every client has to show a certificate that it signed.
///
/// # Errors
/// `InvalidInput` naming the file that is missing, unreadable, or not of its kind.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let (Some(certificate), Some(private)) = (&files.cert, &files.key) else {
        return Err(
            Error::invalid("a TLS address without a certificate and its key")
                .with_hint("set tls_cert and tls_key to PEM files"),
        );
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("TLS cannot be set up").with_source(e))?;
    let builder = match &files.ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(roots(ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier.map_err(|e| wrong(ca, &e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder
        .with_single_cert(certificates(certificate)?, key(private)?)
        .map_err(|e| wrong(certificate, &e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The user that a client's certificate names.
pub(super) fn user(stream: &TlsStream<TcpStream>) -> Option<String> {
    let (_, session) = stream.get_ref();
    subject::common_name(session.peer_certificates()?.first()?)
}

fn wrong(file: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {error}", file.display()))
        .with_hint("check that the certificate and the key belong together")
}
