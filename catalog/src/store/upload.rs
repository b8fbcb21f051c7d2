//! A multipart upload to the local folder: parts go to a staged file that is then named.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, PutMode, PutPayload, PutResult, Result, UploadPart};

use super::local::{Disk, blocking};

/// An upload in progress; dropping it removes the staged file.
#[derive(Debug)]
pub(super) struct LocalUpload {
    disk: Arc<Disk>,
    file: Arc<File>,
    staged: Arc<Staged>,
    to: PathBuf,
    location: Path,
    /// Where the next part goes, bytes.
    offset: u64,
}

/// The staged file's name; the file is removed when nobody holds the name any more. After the
/// rename there is nothing to remove.
#[derive(Debug)]
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl LocalUpload {
    pub(super) fn new(
        disk: Arc<Disk>,
        file: File,
        staged: PathBuf,
        to: PathBuf,
        location: Path,
    ) -> Self {
        Self {
            disk,
            file: Arc::new(file),
            staged: Arc::new(Staged(staged)),
            to,
            location,
            offset: 0,
        }
    }
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let start = self.offset;
        self.offset += data.content_length() as u64;
        let file = Arc::clone(&self.file);
        let location = self.location.clone();
        Box::pin(async move { blocking(&location, move || write_at(&file, &data, start)).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let disk = Arc::clone(&self.disk);
        let file = Arc::clone(&self.file);
        let staged = Arc::clone(&self.staged);
        let to = self.to.clone();
        blocking(&self.location, move || {
            disk.publish(&file, &staged.0, &to, &PutMode::Overwrite)
        })
        .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = Arc::clone(&self.staged);
        blocking(&self.location, move || fs::remove_file(&staged.0)).await
    }
}

fn write_at(file: &File, data: &PutPayload, mut at: u64) -> io::Result<()> {
    for bytes in data {
        file.write_all_at(bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}
