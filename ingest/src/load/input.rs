//! The files of a load: found, hashed, and opened as often as they are read.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use catalog::{Error, Result};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use sha2::{Digest, Sha256};

use super::progress::Progress;

/// Bytes hashed at once.
const BLOCK: usize = 1 << 20;

/// A file to load.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its path or URL, as messages name it.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hex.
    pub hash: String,
    pub(super) place: Place,
}

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Local {
        path: PathBuf,
        stamp: Stamp,
    },
    /// Brought here: a part of a file that has no name.
    Spooled {
        file: Arc<File>,
        start: u64,
    },
}

/// What tells a file that was changed or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// A file on this machine, not hashed yet.
pub(super) fn local(path: &Path) -> Result<Input> {
    let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
    if !metadata.is_file() {
        let message = format!("{} is no regular file", path.display());
        return Err(Error::invalid(message).with_hint("a load reads its files more than once"));
    }
    Ok(Input {
        name: path.display().to_string(),
        bytes: metadata.len(),
        hash: String::new(),
        place: Place::Local {
            path: path.to_owned(),
            stamp: Stamp::of(&metadata),
        },
    })
}

pub(super) fn unreadable(path: &Path, error: io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("there is no file {path}"))
            .with_hint("check the name and the folder you are in"),
        io::ErrorKind::PermissionDenied => {
            Error::permission_denied(format!("{path} may not be read")).with_source(error)
        }
        _ => Error::unavailable(format!("cannot read {path}")).with_source(error),
    }
}

impl Input {
    /// Computes the hash of the bytes.
    pub(super) fn hash(&mut self, progress: &Progress) -> Result<()> {
        let mut section = self.open(progress)?;
        let mut hasher = Sha256::new();
        let mut block = vec![0; BLOCK];
        loop {
            match section.read(&mut block) {
                Ok(0) => break,
                Ok(count) => hasher.update(&block[..count]),
                Err(error) => return Err(self.broken(error)),
            }
        }
        self.hash = hex(&hasher.finalize());
        Ok(())
    }

    /// Opens the file to read it from its beginning.
    ///
    /// # Errors
    /// `Conflict` when it is not what it was when it was found.
    pub(super) fn open(&self, progress: &Progress) -> Result<Section> {
        let (file, start) = match &self.place {
            Place::Spooled { file, start } => (Arc::clone(file), *start),
            Place::Local { path, .. } => {
                let file = File::open(path).map_err(|e| unreadable(path, e))?;
                (Arc::new(file), 0)
            }
        };
        let section = Section {
            file,
            start,
            bytes: self.bytes,
            at: 0,
            progress: progress.clone(),
        };
        self.check(&section)?;
        Ok(section)
    }

    /// Whether the bytes read through `section` are still those that were hashed.
    ///
    /// # Errors
    /// `Conflict` when somebody has written to the file.
    pub(super) fn check(&self, section: &Section) -> Result<()> {
        let Place::Local { path, stamp } = &self.place else {
            return Ok(());
        };
        let metadata = section.file.metadata().map_err(|e| unreadable(path, e))?;
        match Stamp::of(&metadata) == *stamp {
            true => Ok(()),
            false => Err(
                Error::conflict(format!("{} was changed while it was loaded", self.name))
                    .with_hint("nothing is loaded; run again when nobody writes to the file"),
            ),
        }
    }

    /// The file's name without folder.
    pub fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// A failure to read the file.
    pub(super) fn broken(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::invalid(format!("cannot read {}", self.name)).with_source(error)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An open file, or the part of one that holds a file.
#[derive(Clone, Debug)]
pub(super) struct Section {
    file: Arc<File>,
    start: u64,
    bytes: u64,
    at: u64,
    progress: Progress,
}

impl Section {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..wanted], self.start + at)?;
        self.progress.add(count);
        Ok(count)
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl Length for Section {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Section {
    type T = Self;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self> {
        let mut section = self.clone();
        section.at = start;
        Ok(section)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF("the file ends too early".into()));
        }
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.read_at(start + filled as u64, &mut bytes[filled..])? {
                0 => return Err(ParquetError::EOF("the file ends too early".into())),
                count => filled += count,
            }
        }
        Ok(bytes.into())
    }
}
