//! Where the XGBoost library is looked for.
use std::env;
use std::path::{Path, PathBuf};

/// What to do when there is none, or a wrong one.
pub(super) const HINT: &str =
    "`make xgboost` fetches it; PUMPHOUSE_ML_XGBOOST_LIBRARY names one that lies elsewhere";

/// The library named by `PUMPHOUSE_ML_XGBOOST_LIBRARY`, if any.
pub(super) fn from_environment() -> Option<PathBuf> {
    variable("PUMPHOUSE_ML_XGBOOST_LIBRARY").map(PathBuf::from)
}

/// The places to look at, best first: beside the binary, the set-up folder, the
/// system's own library path.
pub(super) fn places() -> Vec<PathBuf> {
    let file = libloading::library_filename("xgboost");
    // Wheels keep `xgboost/lib` beside the folder of the libraries it links to.
    let in_wheel = Path::new("xgboost/xgboost/lib").join(&file);
    let installed = Path::new("xgboost/lib").join(&file);
    let mut places = Vec::new();
    if let Some(folder) = binary_folder() {
        places.push(folder.join(&file));
        places.push(folder.join(&in_wheel));
    }
    if let Some(tools) = tools_folder() {
        places.push(tools.join(&in_wheel));
        places.push(tools.join(&installed));
    }
    places.push(PathBuf::from(&file));
    places
}

fn binary_folder() -> Option<PathBuf> {
    let binary = env::current_exe().ok()?.canonicalize().ok()?;
    Some(binary.parent()?.to_owned())
}

fn tools_folder() -> Option<PathBuf> {
    if let Some(folder) = variable("PUMPHOUSE_TOOLS") {
        return Some(folder.into());
    }
    Some(Path::new(&variable("HOME")?).join(".cache/pumphouse/tools"))
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
