//! Finding the files that a load names: paths, folders, patterns, and the same in S3.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use catalog::{Error, Result, S3Config};

use super::input::{self, Input};
use super::progress::{Phase, Progress};
use super::{format, remote};

/// Where files come from that are not on this machine.
#[derive(Clone, Debug)]
pub struct Sources {
    /// How to reach `s3://` files.
    pub s3: S3Config,
    /// A folder with room for what is brought from there.
    pub spool: PathBuf,
}

/// The files of a load, and those among them that are the same.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// The files, each content once, in the order they were named.
    pub inputs: Vec<Input>,
    /// Files left out, with the one of the same content.
    pub twins: Vec<(String, String)>,
}

/// Finds and hashes the files that `names` name. Folders stand for the files in them whose
/// extension tells their format, and `*` and `?` in the last part of a name for any text and
/// any one character.
///
/// # Errors
/// `NotFound` for a name without a file, and those of reading.
pub async fn gather(names: &[String], sources: &Sources, progress: &Progress) -> Result<Gathered> {
    let (mut local, mut remote_names) = (Vec::new(), Vec::new());
    // Each name becomes a slot, so that the order holds whatever is remote.
    let mut order = Vec::new();
    for name in names {
        match name.starts_with("s3://") {
            true => {
                order.push((true, remote_names.len()..remote_names.len() + 1));
                remote_names.push(name.clone());
            }
            false => {
                let from = local.len();
                local.extend(expand(name)?);
                order.push((false, from..local.len()));
            }
        }
    }
    let mut brought = remote::bring(&remote_names, sources, progress).await?;
    let local = hashed(local, progress.clone()).await?;
    let mut inputs = Vec::new();
    for (is_remote, range) in order {
        match is_remote {
            true => inputs.extend(range.flat_map(|at| std::mem::take(&mut brought[at]))),
            false => inputs.extend_from_slice(&local[range]),
        }
    }
    Ok(distinct(inputs))
}

async fn hashed(paths: Vec<PathBuf>, progress: Progress) -> Result<Vec<Input>> {
    let work = move || {
        let inputs = paths.iter().map(|path| input::local(path));
        let mut inputs = inputs.collect::<Result<Vec<_>>>()?;
        progress.begin(Phase::Hash, inputs.iter().map(|input| input.bytes).sum());
        for input in &mut inputs {
            input.hash(&progress)?;
        }
        Ok(inputs)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal("hashing was interrupted").with_source(e))?
}

fn distinct(inputs: Vec<Input>) -> Gathered {
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut gathered = Gathered::default();
    for input in inputs {
        match seen.get(&input.hash) {
            Some(first) => gathered.twins.push((input.name, first.clone())),
            None => {
                seen.insert(input.hash.clone(), input.name.clone());
                gathered.inputs.push(input);
            }
        }
    }
    gathered
}

/// The files that a name on this machine stands for.
fn expand(name: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(name);
    if path.is_dir() {
        let files = in_folder(path, |file| format::by_extension(file).is_some())?;
        if files.is_empty() {
            return Err(
                Error::not_found(format!("the folder {name} holds no file to load")).with_hint(
                    format!(
                        "files end in {}; others are named one by one with --format",
                        format::EXTENSIONS.join(", ")
                    ),
                ),
            );
        }
        return Ok(files);
    }
    // A file whose name holds a star is that file.
    if path.exists() || !name.contains(['*', '?']) {
        return Ok(vec![path.to_owned()]);
    }
    let (folder, pattern) = name.rsplit_once('/').unwrap_or((".", name));
    if folder.contains(['*', '?']) {
        return Err(
            Error::invalid(format!("{name}: * and ? stand in the last part only"))
                .with_hint("let the shell expand the pattern: leave the quotes away"),
        );
    }
    let folder = if folder.is_empty() { "/" } else { folder };
    let files = in_folder(Path::new(folder), |file| matches(pattern, file))?;
    match files.is_empty() {
        true => Err(Error::not_found(format!("no file is like {name}"))
            .with_hint("check the pattern and the folder you are in")),
        false => Ok(files),
    }
}

/// The files in a folder whose name is wanted, in the order of their names.
fn in_folder(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| input::unreadable(folder, e))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| input::unreadable(folder, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let shown = name.is_some_and(|name| !name.starts_with('.') && wanted(name));
        if shown && path.is_file() {
            // A pattern without a folder gives names as they are typed.
            let plain = path.strip_prefix("./").map(Path::to_owned);
            files.push(plain.unwrap_or(path));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether `name` is like `pattern`, where `*` is any text and `?` any one character.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    let skip_stars = |reached: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            if pattern[at] == '*' && reached[at] {
                reached[at + 1] = true;
            }
        }
    };
    skip_stars(&mut reached);
    for c in name.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for at in 0..pattern.len() {
            match pattern[at] {
                '*' => next[at] |= reached[at],
                wanted => next[at + 1] |= reached[at] && (wanted == '?' || wanted == c),
            }
        }
        skip_stars(&mut next);
        reached = next;
    }
    reached[pattern.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("*.csv", "a.csv"),
            ("*", ""),
            ("a*b*c", "aXbYbc"),
            ("?.csv", "ä.csv"),
            ("**a", "a"),
            ("run-??.csv", "run-07.csv"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.csv", "a.csv.gz"), ("?", ""), ("a*b", "ac"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[tokio::test]
    async fn folders_patterns_and_twins() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("b.csv", "x"),
            ("a.csv", "x"),
            ("c.jsonl", "y"),
            ("notes.md", "z"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let sources = Sources {
            s3: S3Config::default(),
            spool: folder.path().to_owned(),
        };
        let base = folder.path().display().to_string();
        let found = |names: Vec<String>| {
            let sources = sources.clone();
            async move { gather(&names, &sources, &Progress::default()).await }
        };
        let all = found(vec![format!("{base}/c.jsonl"), base.clone()])
            .await
            .unwrap();
        let names: Vec<_> = all.inputs.iter().map(Input::file_name).collect();
        assert_eq!(names, ["c.jsonl", "a.csv"]);
        assert_eq!(all.twins.len(), 2, "b.csv is a.csv, and c.jsonl came twice");
        assert_eq!(all.inputs[1].hash, hex_of("x"));
        let some = found(vec![format!("{base}/?.csv")]).await.unwrap();
        assert_eq!(some.inputs.len() + some.twins.len(), 2);
        for missing in ["none.csv", "*.parquet"] {
            assert!(found(vec![format!("{base}/{missing}")]).await.is_err());
        }
    }

    fn hex_of(text: &str) -> String {
        use sha2::{Digest, Sha256};
        input::hex(&Sha256::digest(text))
    }
}
