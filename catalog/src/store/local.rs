//! A local folder as an object store whose writes survive power loss.
//!
//! `object_store`'s own file store never syncs. Here a put that creates (a commit point) first
//! brings everything written before it to disk, then itself: its staged file is synced before
//! it gets its name, and the folder before the put is reported done. Other puts only get
//! their name and wait for the next commit point, without which nobody looks at them.
//! Reading, listing and deleting are the inner store's.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::pending::{Pending, parent, sync_folder};
use super::upload::LocalUpload;
use crate::Error;

/// The folder store; see the module.
#[derive(Debug)]
pub(super) struct LocalStore {
    inner: LocalFileSystem,
    root: String,
    disk: Arc<Disk>,
}

impl LocalStore {
    /// Creates `folder` where it is missing and checks that it can be written.
    pub(super) async fn open(folder: &FsPath) -> crate::Result<Self> {
        let folder = folder.to_path_buf();
        tokio::task::spawn_blocking(move || Self::open_blocking(&folder))
            .await
            .map_err(|e| Error::internal("opening the folder was stopped").with_source(e))?
    }

    fn open_blocking(folder: &FsPath) -> crate::Result<Self> {
        let fail = |e: io::Error| cannot_use(folder, e);
        let missing = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
            .count();
        fs::create_dir_all(folder).map_err(fail)?;
        let root = folder.canonicalize().map_err(fail)?;
        for parent in root.ancestors().skip(1).take(missing) {
            sync_folder(parent).map_err(fail)?;
        }
        let disk = Disk::new(root.clone()).map_err(fail)?;
        let (_, staged) = disk.stage(&root).map_err(fail)?;
        fs::remove_file(staged).map_err(fail)?;
        let name = root
            .to_str()
            .map(|name| name.trim_end_matches('/').to_string());
        let name = name.ok_or_else(|| {
            Error::invalid(format!(
                "the name of folder {} is not UTF-8",
                root.display()
            ))
            .with_hint("choose another folder: table metadata has to name it")
        })?;
        Ok(Self {
            inner: LocalFileSystem::new_with_prefix(&root)?,
            root: name,
            disk: Arc::new(disk),
        })
    }

    /// The folder's absolute name without a slash at its end.
    pub(super) fn root(&self) -> &str {
        &self.root
    }
}

fn cannot_use(folder: &FsPath, error: io::Error) -> Error {
    let message = format!("cannot use folder {}: {error}", folder.display());
    let described = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::permission_denied(message)
                .with_hint("the lakehouse's folder must be writable for this user")
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Error::invalid(message)
            .with_hint("a file has that name: choose a folder for the lakehouse"),
        ErrorKind::StorageFull => Error::resource_exhausted(message),
        _ => Error::unavailable(message),
    };
    described.with_source(error)
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.root)
    }
}

/// The writing half: staged files that get their name when they are whole.
#[derive(Debug)]
pub(super) struct Disk {
    pending: Pending,
}

impl Disk {
    fn new(root: PathBuf) -> io::Result<Self> {
        let pending = Pending::new(root)?;
        Ok(Self { pending })
    }

    /// A new staged file in `folder`, which is created where it is missing.
    ///
    /// A name of `#` and digits is what the inner store leaves out of its listings.
    pub(super) fn stage(&self, folder: &FsPath) -> io::Result<(File, PathBuf)> {
        loop {
            let staged = folder.join(format!("staged#{}", rand::random::<u64>()));
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&staged)
            {
                Ok(file) => return Ok((file, staged)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) if e.kind() == ErrorKind::NotFound => self.make(folder)?,
                Err(e) => return Err(e),
            }
        }
    }

    /// Makes a folder, which may have been there before: empty ones are removed by the collector.
    fn make(&self, folder: &FsPath) -> io::Result<()> {
        self.pending.forget(folder);
        match fs::create_dir_all(folder) {
            // A parent was removed meanwhile; the caller tries again.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            made => made,
        }
    }

    fn put(&self, to: &FsPath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
        let (mut file, staged) = self.stage(parent(to))?;
        payload
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| self.publish(&file, &staged, to, mode))
            .inspect_err(|_| {
                let _ = fs::remove_file(&staged);
            })
    }

    /// Gives a staged file its name; with [`PutMode::Create`] it and all before it are on disk
    /// then.
    pub(super) fn publish(
        &self,
        file: &File,
        staged: &FsPath,
        to: &FsPath,
        mode: &PutMode,
    ) -> io::Result<()> {
        match mode {
            PutMode::Create => {
                self.pending.sync()?;
                file.sync_all()?;
                let linked = fs::hard_link(staged, to);
                // Also a loser syncs: it goes on to build on the winner's object.
                self.pending.sync_name_of(to)?;
                linked?;
                let _ = fs::remove_file(staged);
            }
            _ => {
                fs::rename(staged, to)?;
                self.pending.add(to.to_path_buf());
            }
        }
        Ok(())
    }
}

/// The inner store's errors for an I/O error on `path`.
pub(super) fn store_error(error: io::Error, path: &Path) -> object_store::Error {
    let path = path.to_string();
    match error.kind() {
        ErrorKind::NotFound => object_store::Error::NotFound {
            path,
            source: error.into(),
        },
        ErrorKind::AlreadyExists => object_store::Error::AlreadyExists {
            path,
            source: error.into(),
        },
        _ => object_store::Error::Generic {
            store: "LocalStore",
            source: error.into(),
        },
    }
}

/// Runs file work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await?
        .map_err(|e| store_error(e, path))
}

fn not_implemented(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented {
        operation: operation.to_string(),
        implementer: "LocalStore".to_string(),
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) {
            return Err(not_implemented("put with PutMode::Update"));
        }
        let to = self.inner.path_to_filesystem(location)?;
        let disk = Arc::clone(&self.disk);
        blocking(location, move || disk.put(&to, &payload, &opts.mode)).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let to = self.inner.path_to_filesystem(location)?;
        let disk = Arc::clone(&self.disk);
        let folder = parent(&to).to_path_buf();
        let stage = Arc::clone(&disk);
        let (file, staged) = blocking(location, move || stage.stage(&folder)).await?;
        let upload = LocalUpload::new(disk, file, staged, to, location.clone());
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    /// Copies the bytes, so that the copy becomes durable like any other object.
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let source = self.inner.path_to_filesystem(from)?;
        let target = self.inner.path_to_filesystem(to)?;
        let mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            CopyMode::Overwrite => PutMode::Overwrite,
        };
        let mut reader = blocking(from, move || File::open(source)).await?;
        let disk = Arc::clone(&self.disk);
        blocking(to, move || {
            let (mut file, staged) = disk.stage(parent(&target))?;
            io::copy(&mut reader, &mut file)
                .and_then(|_| disk.publish(&file, &staged, &target, &mode))
                .inspect_err(|_| {
                    let _ = fs::remove_file(&staged);
                })
        })
        .await
    }
}
