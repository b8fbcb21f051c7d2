//! Certificates and keys, for the broker inside and for the way to one outside.

use std::path::PathBuf;

use serde::Deserialize;

/// Files in PEM form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate this process shows, followed by those between it and the authority.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The authority that has signed the other side's certificate.
    pub ca: Option<PathBuf>,
}
