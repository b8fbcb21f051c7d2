//! The streams given by HTTP, in a file of the data folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use catalog::{Error, Result};
use ingest::StreamConfig;
use uuid::Uuid;

const FILE: &str = "streams.json";

/// Where the streams are kept.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// The streams kept in `path`; none where there is no such file.
///
/// # Errors
/// `Corrupt` when it holds something else, `Unavailable` when it cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<StreamConfig>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("read", path, e)),
    };
    serde_json::from_slice(&text).map_err(|e| {
        Error::corrupt(format!("{} is no list of streams: {e}", path.display()))
            .with_hint("restore it, or delete it and give the streams anew by POST /v1/streams")
            .with_source(e)
    })
}

/// Puts `streams` in the place of what is kept; after a crash it is either.
///
/// # Errors
/// `Unavailable` when it cannot be written; then the old ones are kept.
pub(super) fn write(path: &Path, streams: &[StreamConfig]) -> Result<()> {
    let text = serde_json::to_vec_pretty(streams)
        .map_err(|e| Error::internal("streams have no JSON form").with_source(e))?;
    let staged = path.with_extension(format!("json.{}.new", Uuid::new_v4()));
    let put = || {
        let mut file = File::create(&staged)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    put().map_err(|e| {
        // What is left of it is in nobody's way.
        let _ = fs::remove_file(&staged);
        failed("write", path, e)
    })
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("cannot {what} {}: {error}", path.display()))
        .with_hint("see that the data folder is there and its disk has room")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_kept_with_all_they_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        assert_eq!(read(&path).unwrap(), []);
        let mut stream = StreamConfig::new("a", "a/{b}", "t.a".parse().unwrap());
        stream.partition = vec!["bucket(4, b)".to_owned()];
        stream.columns.insert("n".to_owned(), "long".to_owned());
        write(&path, std::slice::from_ref(&stream)).unwrap();
        write(&path, &[stream.clone(), stream.clone()]).unwrap();
        assert_eq!(read(&path).unwrap(), [stream.clone(), stream]);
        fs::write(&path, "[{").unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), catalog::ErrorKind::Corrupt);
    }
}
