//! S3 and what speaks its protocol: the client, and a quick check that the bucket answers.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::S3Config;
use crate::{Error, ErrorKind, Result};

/// How long a connection may take; an endpoint that is not there is noticed after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The whole of the check at opening.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request is retried in service, so that a restart of the store goes unnoticed.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// A client for `bucket`, rooted at `prefix`, that has been seen to answer.
pub(super) async fn open(
    bucket: &str,
    prefix: &Path,
    config: &S3Config,
) -> Result<Arc<dyn ObjectStore>> {
    let probe = client(bucket, config, retries(1, Duration::from_secs(5)))?;
    check(&probe, bucket, prefix, config).await?;
    let store = client(bucket, config, retries(10, RETRY_TIMEOUT))?;
    if prefix.as_ref().is_empty() {
        return Ok(Arc::new(store));
    }
    Ok(Arc::new(PrefixStore::new(store, prefix.clone())))
}

fn retries(max_retries: usize, retry_timeout: Duration) -> RetryConfig {
    RetryConfig {
        max_retries,
        retry_timeout,
        backoff: BackoffConfig::default(),
    }
}

fn client(bucket: &str, config: &S3Config, retry: RetryConfig) -> Result<AmazonS3> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(key) = &config.access_key {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = &config.secret_key {
        builder = builder.with_secret_access_key(secret);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint)?;
        if builder
            .get_config_value(&AmazonS3ConfigKey::AccessKeyId)
            .is_none()
        {
            return Err(no_key(endpoint));
        }
        builder = builder.with_virtual_hosted_style_request(false);
    }
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    builder
        .with_client_options(
            ClientOptions::new()
                .with_connect_timeout(CONNECT_TIMEOUT)
                .with_allow_http(plain),
        )
        .build()
        .map_err(|e| Error::invalid(format!("the S3 settings do not fit together: {e}")))
}

fn check_endpoint(endpoint: &str) -> Result<()> {
    if endpoint.starts_with("http://") || endpoint.starts_with("https://") {
        return Ok(());
    }
    Err(
        Error::invalid(format!("S3 endpoint {endpoint:?} is no URL"))
            .with_hint("write it with its scheme, for instance http://localhost:9000"),
    )
}

fn no_key(endpoint: &str) -> Error {
    Error::unauthenticated(format!("no access key is set for S3 at {endpoint}")).with_hint(
        "set the access key and the secret key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
}

/// Lists one page: this needs a bucket, a right secret and an endpoint, and writes nothing.
async fn check(store: &AmazonS3, bucket: &str, prefix: &Path, config: &S3Config) -> Result<()> {
    let at = config.endpoint.as_deref().unwrap_or("AWS");
    let mut listing = store.list(Some(prefix));
    match tokio::time::timeout(PROBE_TIMEOUT, listing.next()).await {
        Ok(None | Some(Ok(_))) => Ok(()),
        Ok(Some(Err(error))) => Err(explain(error.into(), bucket, at)),
        Err(_) => Err(unreachable(bucket, at)),
    }
}

fn unreachable(bucket: &str, at: &str) -> Error {
    Error::unavailable(format!("S3 at {at} does not answer for bucket {bucket:?}"))
        .with_hint("check the endpoint's address and port, and that the service is running")
}

/// The same failure in words a person can act on.
fn explain(error: Error, bucket: &str, at: &str) -> Error {
    let explained = match error.kind() {
        ErrorKind::NotFound => Error::not_found(format!("there is no bucket {bucket:?} at {at}"))
            .with_hint("create the bucket, or mend its name in the store URL"),
        ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::InvalidInput => {
            let message = format!("S3 at {at} refuses the credentials for bucket {bucket:?}");
            Error::new(ErrorKind::PermissionDenied, message).with_hint(
                "check the access key, the secret key, the region and the bucket's policy",
            )
        }
        ErrorKind::Unavailable => unreachable(bucket, at),
        _ => return error,
    };
    explained.with_source(error)
}
