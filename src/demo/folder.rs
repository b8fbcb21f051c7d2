//! Where a demo keeps its lake.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use catalog::{Error, Result};

use crate::settings::Settings;

/// The training spec and the query of its features, as the demo uses and leaves them.
pub(super) const TRAIN_SPEC: &str = include_str!("../../sql/train/pump_fault.toml");
pub(super) const FEATURES: &str = include_str!("../../sql/features/pump_features.sql");

/// File that tells a demo's folder from all others.
const MARKER: &str = ".pumphouse-demo";

/// A folder that this demo has made.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes `path`, or when an earlier demo is there, the first free of `path/2`,
    /// `path/3` and so on: what somebody has tried on a lake is not for us to delete.
    ///
    /// Errors: `AlreadyExists` when the folder holds something else, `InvalidInput` when
    /// it cannot be written to.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let folder = Self { path: place(path)? };
        let cannot = |error| {
            Error::invalid(format!("cannot write to {}", folder.path.display()))
                .with_hint("name another folder with --dir")
                .with_source(error)
        };
        fs::create_dir_all(&folder.path).map_err(cannot)?;
        for (name, text) in [
            (
                MARKER,
                "Made by `pumphouse demo`; delete the folder when you are done.\n",
            ),
            ("pump_fault.toml", TRAIN_SPEC),
            ("pump_features.sql", FEATURES),
        ] {
            fs::write(folder.path.join(name), text).map_err(cannot)?;
        }
        Ok(folder)
    }

    /// The folder as a person would type it.
    pub(super) fn shown(&self) -> String {
        let path = self.path.strip_prefix(".").unwrap_or(&self.path);
        path.display().to_string()
    }

    /// Settings that keep everything in this folder and on free ports of loopback; only
    /// limits are taken from `user`.
    pub(super) fn settings(&self, user: &Settings, flush_rows: usize) -> Settings {
        let mut settings = Settings {
            author: user.author.clone(),
            data_dir: self.path.join("node"),
            query: user.query.clone(),
            ml: user.ml.clone(),
            ..Settings::default()
        };
        settings.lake.url = self.path.join("lake").display().to_string();
        settings.listen.http.set_port(0);
        settings.listen.flight.set_port(0);
        settings.mqtt.listen = "127.0.0.1:0".parse().ok();
        // By number and not by time, so that every run shows rows in files and rows that
        // are not yet.
        settings.ingest.flush_rows = flush_rows;
        settings.ingest.flush_interval = std::time::Duration::from_secs(600);
        settings
    }
}

fn place(path: &Path) -> Result<PathBuf> {
    if is_free(path)? {
        return Ok(path.to_owned());
    }
    if !path.join(MARKER).exists() {
        return Err(
            Error::already_exists(format!("{} is not empty", path.display()))
                .with_hint("name a folder of its own for the demo with --dir"),
        );
    }
    let mut number = 2;
    loop {
        let within = path.join(number.to_string());
        if is_free(&within)? {
            return Ok(within);
        }
        number += 1;
    }
}

/// True when nothing is at `path`, or an empty folder.
fn is_free(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(
            Error::invalid(format!("cannot use {} as a folder", path.display()))
                .with_hint("name another one with --dir")
                .with_source(error),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_demo_gets_a_folder_of_its_own() {
        let base = tempfile::TempDir::new().unwrap();
        let path = base.path().join("demo");
        for expected in [path.clone(), path.join("2"), path.join("3")] {
            let folder = Folder::create(&path).unwrap();
            assert_eq!(folder.path, expected);
            assert!(expected.join("pump_fault.toml").exists());
        }
    }

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let base = tempfile::TempDir::new().unwrap();
        fs::write(base.path().join("thesis.tex"), "x").unwrap();
        let error = Folder::create(base.path()).unwrap_err();
        assert!(error.is_user_error() && error.hint().is_some(), "{error}");
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
        let error = Folder::create(&base.path().join("thesis.tex")).unwrap_err();
        assert!(error.is_user_error(), "{error}");
    }

    #[test]
    fn a_demo_stays_on_this_machine_whatever_the_settings_say() {
        let base = tempfile::TempDir::new().unwrap();
        let folder = Folder::create(base.path()).unwrap();
        let mut user = Settings::default();
        user.lake.url = "s3://production/lake".to_owned();
        user.mqtt.url = Some("mqtt://plant:1883".to_owned());
        let settings = folder.settings(&user, 1000);
        assert!(
            settings
                .lake
                .url
                .starts_with(&base.path().display().to_string())
        );
        assert_eq!(settings.mqtt.url, None);
        assert!(settings.listen.flight.ip().is_loopback());
    }
}
