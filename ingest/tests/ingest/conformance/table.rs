//! `docs/mqtt-conformance.md` and the names of the tests say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Statement = (String, String);

/// The tests of this folder by name.
fn tests() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ingest/conformance");
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().map(str::trim_start) {
            let name = line.strip_prefix("async fn ").unwrap_or(line);
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if let (true, Some(end)) = (name.starts_with("mqtt_v"), end) {
                names.insert(name[..end].to_owned());
            }
        }
    }
    names
}

/// The statements a test's name holds: groups of four numbers after a version.
fn statements(name: &str) -> Vec<Statement> {
    let mut version = String::new();
    let mut numbers = Vec::new();
    let mut found = Vec::new();
    for word in name.split('_').skip(1) {
        if word == "v3" || word == "v5" {
            version = word[1..].to_owned();
            numbers.clear();
        } else if word.parse::<u32>().is_ok() {
            numbers.push(word);
        } else {
            break;
        }
        if let [a, b, c, d] = numbers[..] {
            found.push((version.clone(), format!("MQTT-{a}.{b}.{c}-{d}")));
            numbers.clear();
        }
    }
    assert!(!found.is_empty() && numbers.is_empty(), "{name}");
    found
}

#[test]
fn the_table_of_statements_matches_the_tests() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mqtt-conformance.md");
    let table = std::fs::read_to_string(path).unwrap();
    let mut rows: BTreeMap<Statement, (String, String)> = BTreeMap::new();
    let mut version = "";
    for line in table.lines() {
        version = match line {
            "## MQTT 5.0" => "5",
            "## MQTT 3.1.1" => "3",
            _ => version,
        };
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [number, test, note] = cells[..]
            && number.starts_with("MQTT-")
        {
            let row = (test.trim_matches('`').to_owned(), note.to_owned());
            let before = rows.insert((version.to_owned(), number.to_owned()), row);
            assert!(before.is_none(), "{number} stands there twice");
        }
    }
    let tests = tests();
    for ((version, number), (test, note)) in &rows {
        if test.is_empty() {
            assert!(
                !note.is_empty(),
                "{number} of {version} has neither test nor note"
            );
            continue;
        }
        assert!(tests.contains(test), "{test} is not there");
        let guards = statements(test).contains(&(version.clone(), number.clone()));
        assert!(guards, "{test} does not guard {number} of {version}");
    }
    for test in &tests {
        for statement in statements(test) {
            let row = rows.get(&statement);
            assert!(row.is_some(), "{statement:?} of {test} has no row");
        }
    }
}
