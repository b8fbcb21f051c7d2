//! Table names in SQL: which ref, namespace and table a reference means.
use catalog::{Error, Key, Result, Snapshot};
use datafusion::common::TableReference;
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;

/// The virtual schema DataFusion answers itself.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";

/// A table reference with every part filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FullName {
    /// A branch, a commit or `branch@time-or-commit`.
    pub(crate) reference: String,
    pub(crate) namespace: String,
    pub(crate) table: String,
}

impl FullName {
    /// Fills the parts `name` leaves out.
    pub(crate) fn new(name: &TableReference, default_ref: &str, default_namespace: &str) -> Self {
        FullName {
            reference: name.catalog().unwrap_or(default_ref).to_owned(),
            namespace: name.schema().unwrap_or(default_namespace).to_owned(),
            table: name.table().to_owned(),
        }
    }

    /// The key, without the ref.
    ///
    /// # Errors
    /// `InvalidInput` for names the catalog does not take.
    pub(crate) fn key(&self) -> Result<Key> {
        Key::new(&self.namespace, &self.table)
    }
}

/// The error for a table that `snapshot` does not have: where it was looked for, and near names.
pub(crate) fn no_such_table(name: &FullName, snapshot: &Snapshot) -> Result<Error> {
    let error = Error::not_found(format!(
        "no table \"{}\" in namespace \"{}\" of ref \"{}\" (commit {:.12})",
        name.table,
        name.namespace,
        name.reference,
        snapshot.commit().id.to_string(),
    ));
    let entries = snapshot.entries()?;
    let near = near_names(name, entries.iter().map(|(key, _)| key));
    Ok(if !near.is_empty() {
        error.with_hint(format!("did you mean {}?", near.join(", ")))
    } else if entries.is_empty() {
        error.with_hint("this ref has no tables yet")
    } else {
        error.with_hint("SHOW TABLES lists what is there; names are ref.namespace.table")
    })
}

/// Up to three keys spelled like `name`, the nearest first.
fn near_names<'a>(name: &FullName, keys: impl Iterator<Item = &'a Key>) -> Vec<String> {
    const ENOUGH: f64 = 0.6;
    let wanted = format!("{}.{}", name.namespace, name.table).to_lowercase();
    let mut scored: Vec<(f64, String)> = keys
        .map(|key| {
            let whole = normalized_levenshtein(&wanted, &key.to_string().to_lowercase());
            let table =
                normalized_levenshtein(&name.table.to_lowercase(), &key.name.to_lowercase());
            (whole.max(table), key.to_string())
        })
        .filter(|(score, _)| *score >= ENOUGH)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.into_iter().take(3).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_left_out_are_filled_in() {
        let full = |name: &str| FullName::new(&TableReference::from(name), "main", "public");
        assert_eq!(full("t").namespace, "public");
        assert_eq!(full("pumps.t").reference, "main");
        let name = full("\"main@2026-11-01T00:00:00Z\".pumps.t");
        assert_eq!(name.reference, "main@2026-11-01T00:00:00Z");
        assert_eq!(
            (name.namespace.as_str(), name.table.as_str()),
            ("pumps", "t")
        );
    }

    #[test]
    fn near_names_find_typos_and_wrong_namespaces() {
        let keys: Vec<Key> = ["pumps.telemetry", "ml.predictions", "ingest.dead_letters"]
            .iter()
            .map(|key| key.parse().unwrap())
            .collect();
        let near = |name: &str| {
            near_names(
                &FullName::new(&TableReference::from(name), "main", "public"),
                keys.iter(),
            )
        };
        assert_eq!(near("pumps.telemtry"), ["pumps.telemetry"]);
        assert_eq!(near("telemetry"), ["pumps.telemetry"]);
        assert!(near("pumps.nothing_alike").is_empty());
    }
}
