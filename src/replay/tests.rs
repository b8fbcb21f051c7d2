//! Files to messages, as the broker would get them.

use std::io::Write;
use std::path::PathBuf;

use catalog::Result;
use ingest::load::Delimiter;
use tempfile::TempDir;

use super::row::Encoder;
use super::table::Table;
use super::topic::Template;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(content)
            .unwrap();
        path
    }
}

/// Topic and payload of every row.
fn messages(content: &str, topic: &str, time: Option<&str>) -> Result<Vec<(String, String)>> {
    let folder = Folder::new();
    let path = folder.file("run-7.csv", content.as_bytes());
    let table = Table::open(&path, Delimiter::Auto)?;
    let encoder = Encoder::new(&table, &Template::parse(topic)?, time)?;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    encoder
        .messages(&table)
        .map(|m| m.map(|m| (m.topic, text(m.payload))))
        .collect()
}

#[test]
fn a_row_of_skab_is_a_message_with_the_files_digits() {
    let content = "datetime;Accelerometer1RMS;Volume Flow RateRMS;anomaly\n\
                   2020-03-09 10:14:33;0.0265878;32.0;0.0\n";
    let sent = messages(content, "rigs/valve1-3/telemetry", None).unwrap();
    let payload = r#"{"datetime":"2020-03-09 10:14:33","Accelerometer1RMS":0.0265878,"Volume Flow RateRMS":32.0,"anomaly":0.0}"#;
    assert_eq!(
        sent,
        [("rigs/valve1-3/telemetry".to_owned(), payload.to_owned())]
    );
}

#[test]
fn columns_fill_the_topic_and_leave_the_payload() {
    let content = "\u{feff}pump,site,x,note\nP1,north,1,\"a, \"\"b\"\"\"\nP2,south,,\n";
    let sent = messages(content, "pumps/{site}/{pump}/t", None).unwrap();
    let expected = [
        ("pumps/north/P1/t", r#"{"x":1,"note":"a, \"b\""}"#),
        ("pumps/south/P2/t", r#"{"x":null,"note":null}"#),
    ];
    assert_eq!(
        sent,
        expected.map(|(topic, payload)| (topic.to_owned(), payload.to_owned()))
    );
}

#[test]
fn the_files_name_fills_the_topic_unless_a_column_does() {
    assert_eq!(
        messages("a\n1\n", "rigs/{file}/t", None).unwrap()[0].0,
        "rigs/run-7/t"
    );
    assert_eq!(
        messages("file\nx\n", "rigs/{file}/t", None).unwrap()[0].0,
        "rigs/x/t"
    );
}

#[test]
fn a_time_column_is_sent_as_text() {
    let sent = messages("day,x\n20200309,1\n", "t", Some("day")).unwrap();
    assert_eq!(sent[0].1, r#"{"day":"20200309","x":1}"#);
}

#[test]
fn wrong_input_is_named_with_its_place() {
    for (content, topic, time, said) in [
        (
            "a,b\n1,2\n3\n",
            "t",
            None,
            "line 3: 1 cells where the header has 2",
        ),
        ("a,b\n1,2\n,4\n", "t/{a}", None, "line 3: \"a\" is empty"),
        ("a,b\nx/y,2\n", "t/{a}", None, "line 2: \"a\" holds a /"),
        ("a,b\n1,2\n", "t/{c}", None, "no column \"c\""),
        ("a,b\n1,2\n", "t", Some("when"), "no column \"when\""),
        ("a,a\n1,2\n", "t", None, "two columns are named \"a\""),
        (",b\n1,2\n", "t", None, "column 1 has no name"),
        ("", "t", None, "no header line"),
    ] {
        let error = messages(content, topic, time).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.is_user_error() && error.hint().is_some(), "{error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = Folder::new();
    let latin = folder.file("latin.csv", b"a\n1\n\xe4\n");
    let table = Table::open(&latin, Delimiter::Auto).unwrap();
    let error = table.rows().find_map(Result::err).unwrap();
    assert!(
        error.to_string().contains("line 3: the text is not UTF-8"),
        "{error}"
    );
    let missing = Table::open(&folder.0.path().join("none.csv"), Delimiter::Auto).unwrap_err();
    assert!(missing.to_string().contains("none.csv"), "{missing}");
    let is_folder = Table::open(folder.0.path(), Delimiter::Auto).unwrap_err();
    assert!(is_folder.to_string().contains("is a folder"), "{is_folder}");
}

#[test]
fn delimiters_are_guessed_or_given() {
    let folder = Folder::new();
    for (content, columns) in [
        ("a;b,c\n", 2),
        ("a,b\n", 2),
        ("a\tb\tc\n", 3),
        ("a|b\n", 2),
        ("a\n", 1),
    ] {
        let path = folder.file("x.csv", content.as_bytes());
        assert_eq!(
            Table::open(&path, Delimiter::Auto).unwrap().columns.len(),
            columns,
            "{content}"
        );
    }
    assert_eq!("tab".parse(), Ok(Delimiter::Character(b'\t')));
    assert_eq!(";".parse(), Ok(Delimiter::Character(b';')));
    assert!("ä".parse::<Delimiter>().is_err() && "ab".parse::<Delimiter>().is_err());
}
