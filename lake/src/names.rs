//! Finding what a mistyped table name may have meant.

use catalog::Key;

/// At most this many names are offered.
const MOST: usize = 3;

/// The keys most like `wanted`, nearest first: the same table name in another
/// namespace, or a few letters away.
pub(crate) fn near<'a>(wanted: &Key, keys: impl Iterator<Item = &'a Key>) -> Vec<String> {
    let wanted_text = wanted.to_string().to_lowercase();
    let allowed = (wanted_text.chars().count() / 4).clamp(1, 4);
    let mut found: Vec<(usize, String)> = keys
        .filter_map(|key| {
            let text = key.to_string();
            let distance = match key.name == wanted.name {
                true => 1,
                false => edits(&wanted_text, &text.to_lowercase()),
            };
            (distance <= allowed).then_some((distance, text))
        })
        .collect();
    found.sort();
    found.truncate(MOST);
    found.into_iter().map(|(_, text)| text).collect()
}

/// Levenshtein distance: insertions, deletions and replacements from `a` to `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn offers_typos_and_other_namespaces() {
        let keys: Vec<Key> = ["pumps.telemetry", "rigs.telemetry", "pumps.alarms"]
            .iter()
            .map(|key| key.parse().unwrap())
            .collect();
        let near = |name: &str| near(&name.parse().unwrap(), keys.iter());
        assert_eq!(near("pumps.telemtry"), ["pumps.telemetry"]);
        assert_eq!(near("lab.telemetry"), ["pumps.telemetry", "rigs.telemetry"]);
        assert!(near("pumps.something_else").is_empty());
    }
}
