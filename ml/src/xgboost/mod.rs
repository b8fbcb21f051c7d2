//! XGBoost through its C library, loaded at run time: a thin, typed, safe wrapper.
//!
//! Building Pumphouse then needs no C++ toolchain, and the library may be the
//! CPU or the CUDA build. `make xgboost` fetches it.
mod api;
mod boost;
mod booster;
mod locate;
mod log;
mod matrix;
mod trained;

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use catalog::{Error, ErrorKind, Result};

pub(crate) use boost::rising;
pub use boost::{Boosted, Samples, boost};
pub use booster::Booster;
pub use matrix::Matrix;
pub use trained::Trained;

use api::Api;

/// The oldest library whose models and parameters are understood: major, minor.
const OLDEST: (u32, u32) = (3, 0);

static LIBRARY: OnceLock<Library> = OnceLock::new();
static SETTING: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A loaded XGBoost library.
#[derive(Debug)]
pub struct Library {
    api: Api,
    path: PathBuf,
    version: (u32, u32, u32),
}

/// Names the library file to load, before its first use; nothing else is then
/// searched. Without it `PUMPHOUSE_ML_XGBOOST_LIBRARY` is looked at, and then the
/// places [`library`] lists.
pub fn set_library(path: impl Into<PathBuf>) {
    *SETTING.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.into());
}

/// The library this process uses, loaded at the first call that finds it.
///
/// Searched are the setting, the folder of the running binary, the set-up folder
/// (`$PUMPHOUSE_TOOLS` or `~/.cache/pumphouse/tools`), and the system's library
/// path. Errors: `NotFound` names every place searched, `Unsupported` is a
/// library named by the setting that is too old.
pub fn library() -> Result<&'static Library> {
    if let Some(library) = LIBRARY.get() {
        return Ok(library);
    }
    let setting = SETTING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .or_else(locate::from_environment);
    let found = match setting {
        Some(path) => Library::load(&path)?,
        None => search(&locate::places())?,
    };
    tracing::info!(path = %found.path.display(), version = found.version(), "loaded xgboost");
    Ok(LIBRARY.get_or_init(|| found))
}

fn search(places: &[PathBuf]) -> Result<Library> {
    let mut tried = Vec::new();
    for place in places {
        match Library::load(place) {
            Ok(library) => return Ok(library),
            Err(error) => tried.push(format!("{}: {}", place.display(), error.message())),
        }
    }
    Err(Error::not_found(format!(
        "the XGBoost library is not there; searched were {}",
        tried.join("; ")
    ))
    .with_hint(locate::HINT))
}

impl Library {
    /// Loads the library file at `path`, or a bare name along the system's library path.
    pub fn load(path: &Path) -> Result<Library> {
        if path.components().count() > 1 && !path.exists() {
            let message = format!("there is no XGBoost library at {}", path.display());
            return Err(Error::not_found(message).with_hint(locate::HINT));
        }
        let api = Api::load(path).map_err(|e| {
            let message = format!("{} cannot be loaded as XGBoost: {e}", path.display());
            Error::new(ErrorKind::NotFound, message).with_hint(locate::HINT)
        })?;
        let version = api.library_version();
        if (version.0, version.1) < OLDEST {
            return Err(Error::unsupported(format!(
                "{} is XGBoost {}.{}.{}, and {}.{} or newer is needed",
                path.display(),
                version.0,
                version.1,
                version.2,
                OLDEST.0,
                OLDEST.1
            ))
            .with_hint(locate::HINT));
        }
        Ok(Library {
            api,
            path: path.to_owned(),
            version,
        })
    }

    /// Begins to note what XGBoost logs on this thread.
    pub(crate) fn capture_log(&self) -> Result<()> {
        log::capture(&self.api)
    }

    /// Refuses parameters that XGBoost has logged as unused since.
    pub(crate) fn refuse_unused_parameters(&self) -> Result<()> {
        match log::unused_parameters() {
            None => Ok(()),
            Some(names) => Err(Error::invalid(format!(
                "XGBoost has no use for the parameter {names}"
            ))
            .with_hint("check the spelling under [xgboost], or leave it out")),
        }
    }

    /// Refuses to go on when a GPU was asked for and XGBoost took the CPU instead.
    pub(crate) fn refuse_a_missing_gpu(&self) -> Result<()> {
        if !log::went_without_gpu() {
            return Ok(());
        }
        Err(
            Error::unsupported("XGBoost found no GPU on this machine to train on")
                .with_hint("say device = \"cpu\" under [xgboost], or leave it out"),
        )
    }

    /// Whether this build can train on an NVIDIA GPU.
    pub fn has_cuda(&self) -> Result<bool> {
        let mut text = std::ptr::null();
        // SAFETY: a valid place for a pointer; the C string is copied before the next call on
        // this thread.
        let info = unsafe {
            self.api
                .check((self.api.build_info)(&mut text), "tell how it was built")?;
            CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        let info: serde_json::Value = serde_json::from_str(&info).map_err(|e| {
            Error::internal("XGBoost tells in an unknown form how it was built").with_source(e)
        })?;
        Ok(info["USE_CUDA"].as_bool().unwrap_or(false))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, such as `3.4.1`.
    pub fn version(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_says_where_it_was_looked_for_and_what_gets_it() {
        let error = Library::load(Path::new("/nowhere/libxgboost.so")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.message().contains("/nowhere/libxgboost.so"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("make xgboost"));
    }

    #[test]
    fn a_search_in_vain_names_every_place() {
        let places = ["/nowhere/a.so".into(), "/nowhere/b.so".into()];
        let error = search(&places).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        for place in ["/nowhere/a.so", "/nowhere/b.so"] {
            assert!(error.message().contains(place), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libxgboost.so");
        std::fs::write(&path, "not a library").unwrap();
        let error = Library::load(&path).unwrap_err();
        assert!(error.message().contains("cannot be loaded"), "{error}");
    }

    #[test]
    fn the_library_is_there_and_new_enough() {
        let library = library().expect("run `make xgboost` first");
        assert!((library.version.0, library.version.1) >= OLDEST);
    }
}
