//! Certificates and keys from PEM files, for the broker inside and for the way to one outside.

use std::path::Path;
use std::sync::Arc;

use catalog::{Error, Result};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The cryptography in use, named because a process may hold more than one.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// All certificates of a file, the first one being the owner's.
///
/// # Errors
/// `InvalidInput` naming a file that cannot be read or holds none.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| unusable(file, "certificates", &e))?;
    if found.is_empty() {
        return Err(unusable(file, "certificates", &"it holds none"));
    }
    Ok(found)
}

/// The private key of a file.
///
/// # Errors
/// `InvalidInput` naming a file that cannot be read or holds none.
pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|e| unusable(file, "a private key", &e))
}

/// The authorities of a file.
///
/// # Errors
/// `InvalidInput` naming a file that cannot be read or holds none.
pub(super) fn roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|e| unusable(file, "certificates", &e))?;
    }
    Ok(roots)
}

fn unusable(file: &Path, what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("cannot read {what} from {}: {why}", file.display()))
        .with_hint("name a readable file in PEM form, which begins with -----BEGIN")
}
