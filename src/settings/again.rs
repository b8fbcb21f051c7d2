//! Reading the settings again, to see what was changed.

use std::path::{Path, PathBuf};

use catalog::Result;

use super::load::{DEFAULT_FILE, Flag, tree};
use super::{Settings, load};

/// Where settings were read.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The file that was named, if one was.
    pub(super) config: Option<PathBuf>,
    pub(super) flags: Vec<Flag>,
    /// What stood in the file; none when there was none.
    pub(crate) text: Option<Vec<u8>>,
}

impl Origin {
    /// The configuration file, whether it is there or not.
    pub(crate) fn file(&self) -> PathBuf {
        let config = self.config.as_deref();
        config.unwrap_or(Path::new(DEFAULT_FILE)).to_owned()
    }

    /// The settings as they would be after a restart.
    ///
    /// # Errors
    /// Those of [`Settings::load`].
    pub(crate) fn read_again(&self) -> Result<Settings> {
        let env = |name: &str| std::env::var(name).ok();
        Settings::load(self.config.as_deref(), env, &self.flags)
    }
}

impl Settings {
    /// The paths of the settings that are others in `other`, but for the streams.
    pub(crate) fn differing(&self, other: &Self) -> Vec<String> {
        let (own, other) = (tree(self), tree(other));
        let pointer = |path: &String| format!("/{}", path.replace('.', "/"));
        let mut paths = load::setting_paths();
        paths.retain(|path| own.pointer(&pointer(path)) != other.pointer(&pointer(path)));
        paths
    }
}
