//! The Iceberg REST catalog as the settings want it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use lake::Lake;
use rest::{RestConfig, TokenCheck};

use super::auth;
use crate::settings::Settings;

/// What S3 stores other than AWS ignore, and some clients insist on.
const DEFAULT_REGION: &str = "us-east-1";

/// The routes of the catalog, to be mounted at `/iceberg`.
pub(super) fn router(settings: &Settings, lake: &Lake) -> Router {
    let check_token = settings.auth.token.clone().map(|wanted| {
        let check = move |given: &str| auth::same(given.as_bytes(), wanted.expose().as_bytes());
        Arc::new(check) as TokenCheck
    });
    let config = RestConfig {
        author: settings.author(),
        check_token,
        defaults: defaults(settings),
        credentials: credentials(settings),
    };
    rest::router(lake.clone(), config)
}

/// How clients reach the bucket, in Iceberg's names; nothing for a folder.
fn defaults(settings: &Settings) -> BTreeMap<String, String> {
    let mut defaults = BTreeMap::new();
    if !settings.lake.url.starts_with("s3://") {
        return defaults;
    }
    let s3 = &settings.lake.s3;
    let mut put = |name: &str, value: &str| defaults.insert(name.to_owned(), value.to_owned());
    let region = s3.region.as_deref().unwrap_or(DEFAULT_REGION);
    put("s3.region", region);
    put("client.region", region);
    if let Some(endpoint) = &s3.endpoint {
        put("s3.endpoint", endpoint);
        put("s3.path-style-access", "true");
    }
    defaults
}

/// The keys that clients are given, in Iceberg's names, with where they are good for:
/// `DuckDB` takes the two together or not at all.
fn credentials(settings: &Settings) -> BTreeMap<String, String> {
    if !settings.gives_keys() {
        return BTreeMap::new();
    }
    let mut keys = defaults(settings);
    let s3 = &settings.lake.s3;
    if let Some(key) = &s3.access_key {
        keys.insert("s3.access-key-id".to_owned(), key.clone());
    }
    if let Some(key) = &s3.secret_key {
        keys.insert("s3.secret-access-key".to_owned(), key.expose().to_owned());
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Credentials, Secret};

    #[test]
    fn keys_are_given_only_when_the_settings_say_so() {
        let mut settings = Settings::default();
        assert!(defaults(&settings).is_empty());
        settings.lake.url = "s3://plant/lake".to_owned();
        settings.lake.s3.endpoint = Some("http://127.0.0.1:9000".to_owned());
        settings.lake.s3.access_key = Some("key".to_owned());
        settings.lake.s3.secret_key = Some(Secret::from("swordfish".to_owned()));
        let given = defaults(&settings);
        assert_eq!(given["s3.endpoint"], "http://127.0.0.1:9000");
        assert_eq!(given["s3.region"], DEFAULT_REGION);
        assert!(credentials(&settings).is_empty());
        settings.iceberg.credentials = Credentials::Own;
        assert_eq!(defaults(&settings), given);
        let keys = credentials(&settings);
        assert_eq!(keys["s3.secret-access-key"], "swordfish");
        assert_eq!(
            keys["s3.endpoint"], given["s3.endpoint"],
            "they go together"
        );
    }
}
