//! Merging what is no table, and saying what each side did where nothing can be merged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use catalog::{BothChanged, Content, Merged, Result};

use super::clash::{Clash, Outcome};
use super::shape::changed_properties;
use crate::diff::files::FileChanges;
use crate::diff::shape;
use crate::diff::words;
use crate::metadata::TableFiles;

type Properties = BTreeMap<String, String>;

/// Namespaces merge by property; made on both sides, they were both nothing before.
pub(super) fn namespaces(base: &Properties, ours: &Properties, theirs: &Properties) -> Merged {
    let words = |now: &Properties| {
        let changes = shape::properties(&map(base), &map(now));
        let words: Vec<_> = changes.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    match merged_properties(base, ours, theirs) {
        Ok(properties) => Merged::Content {
            content: Content::Namespace { properties },
            how: words(theirs),
        },
        Err(Clash(reason)) => Merged::Conflict {
            ours: words(ours),
            theirs: format!("{}; {reason}", words(theirs)),
        },
    }
}

fn merged_properties(
    base: &Properties,
    ours: &Properties,
    theirs: &Properties,
) -> Outcome<Properties> {
    let (set, removed) = changed_properties(&map(base), &map(ours), &map(theirs))?;
    let mut merged = ours.clone();
    merged.extend(set);
    merged.retain(|name, _| !removed.contains(name));
    Ok(merged)
}

fn map(properties: &Properties) -> HashMap<String, String> {
    properties.clone().into_iter().collect()
}

/// The conflict of two changes that cannot be merged.
pub(super) async fn conflict(files: &Arc<TableFiles>, changed: &BothChanged<'_>) -> Result<Merged> {
    let base = changed.base;
    let (ours, theirs) = futures::try_join!(
        done(files, base, changed.ours),
        done(files, base, changed.theirs)
    )?;
    Ok(Merged::Conflict { ours, theirs })
}

/// What one side did to a key.
async fn done(
    files: &Arc<TableFiles>,
    before: Option<&Content>,
    after: Option<&Content>,
) -> Result<String> {
    Ok(match (before, after) {
        (None, None) => "did nothing".to_owned(),
        (Some(_), None) => "deleted".to_owned(),
        (None, Some(now)) => format!("created: {}", now.type_name()),
        (Some(was), Some(now)) if was.uuid() != now.uuid() => {
            format!("dropped and created anew: {}", now.type_name())
        }
        (Some(was), Some(now)) => changed_words(files, was, now).await?,
    })
}

async fn changed_words(files: &Arc<TableFiles>, was: &Content, now: &Content) -> Result<String> {
    let (Some(was), Some(now)) = (table(was), table(now)) else {
        return Ok(format!("changed the {}", now.type_name()));
    };
    let (was, now) = futures::try_join!(files.metadata(was), files.metadata(now))?;
    let changes = FileChanges::between(files, &was, &now).await?;
    Ok(format!(
        "changed: {}",
        words::described(&was, &now, &changes)
    ))
}

/// Where the metadata is, of an Iceberg table.
pub(super) fn table(content: &Content) -> Option<&str> {
    match content {
        Content::IcebergTable {
            metadata_location, ..
        } => Some(metadata_location),
        _ => None,
    }
}
