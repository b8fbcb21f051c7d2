//! Where a lakehouse lives: the URL and the S3 settings, as configuration gives them.

use std::fmt;
use std::path::PathBuf;

use object_store::path::Path;
use serde::Deserialize;

use crate::{Error, Result};

/// Where the lakehouse is and how to reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `s3://bucket/prefix`, a folder (`/abs`, `./rel` or `file:///abs`), or `memory://`.
    pub url: String,
    /// How to reach S3; unused for folders.
    pub s3: S3Config,
}

/// How to reach S3. What is absent is taken from the usual `AWS_*` environment variables.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// URL of the service, for MinIO, Ceph and others; absent for AWS.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` when absent, which stores other than AWS ignore.
    pub region: Option<String>,
    /// The access key.
    pub access_key: Option<String>,
    /// The secret key.
    pub secret_key: Option<String>,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .field("secret_key", &self.secret_key.as_ref().map(|_| "<set>"))
            .finish()
    }
}

/// A store URL taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    Folder(PathBuf),
    Bucket { bucket: String, prefix: Path },
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::invalid(format!("store URL {url:?} {what}"))
                .with_hint("use s3://bucket/prefix, a folder such as ./lake, or memory://")
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            return match url {
                "" => Err(wrong("is empty")),
                folder => Ok(Self::Folder(folder.into())),
            };
        };
        match scheme {
            "memory" => Ok(Self::Memory),
            "file" if rest.starts_with('/') => Ok(Self::Folder(rest.into())),
            "file" => Err(wrong("is not absolute: file:// needs three slashes")),
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(wrong("names no bucket"));
                }
                let prefix = Path::parse(prefix)
                    .map_err(|e| wrong("has a prefix that S3 cannot hold").with_source(e))?;
                Ok(Self::Bucket {
                    bucket: bucket.to_string(),
                    prefix,
                })
            }
            _ => Err(wrong("has a scheme nobody here knows")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(Place::parse("memory://").unwrap(), Place::Memory);
        for (url, folder) in [("./a", "./a"), ("/a b", "/a b"), ("file:///a/b", "/a/b")] {
            assert_eq!(Place::parse(url).unwrap(), Place::Folder(folder.into()));
        }
        let bucket = |prefix: &str| Place::Bucket {
            bucket: "b".into(),
            prefix: Path::parse(prefix).unwrap(),
        };
        assert_eq!(Place::parse("s3://b").unwrap(), bucket(""));
        assert_eq!(Place::parse("s3://b/").unwrap(), bucket(""));
        assert_eq!(Place::parse("s3://b/c/d/").unwrap(), bucket("c/d"));
    }

    #[test]
    fn urls_of_no_store_are_refused_with_a_hint() {
        for url in [
            "",
            "gs://b",
            "s3://",
            "s3:///x",
            "file://rel",
            "s3://b/a//c",
            "s3://b/..",
        ] {
            let error = Place::parse(url).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{url}");
            assert!(error.hint().is_some(), "{url}");
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        let config = S3Config {
            secret_key: Some("hunter2".into()),
            ..S3Config::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
