use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};

use super::*;

fn batch() -> RecordBatch {
    let ts = TimestampMicrosecondArray::from(vec![Some(1_793_491_200_000_000), None]);
    let columns: [(&str, ArrayRef); 4] = [
        (
            "pump",
            Arc::new(StringArray::from(vec![Some("p-1"), Some("a,b \"c\"")])),
        ),
        ("ts", Arc::new(ts.with_timezone("+00:00"))),
        ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn written(format: Format, batches: Vec<RecordBatch>) -> String {
    let mut out = Vec::new();
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    write_rows(format, batch().schema(), stream, &mut out)
        .await
        .unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn rows_as_a_table() {
    let table = written(Format::Table, vec![batch()]).await;
    assert_eq!(
        table,
        "\
+---------+----------------------+---+------+
| pump    | ts                   | n | x    |
+---------+----------------------+---+------+
| p-1     | 2026-11-01T00:00:00Z | 1 | 0.1  |
| a,b \"c\" | NULL                 | 2 | NULL |
+---------+----------------------+---+------+
"
    );
}

#[tokio::test]
async fn rows_as_csv() {
    let csv = written(Format::Csv, vec![batch(), batch()]).await;
    let once = "p-1,2026-11-01T00:00:00Z,1,0.1\n\"a,b \"\"c\"\"\",,2,\n";
    assert_eq!(csv, format!("pump,ts,n,x\n{once}{once}"));
    assert_eq!(written(Format::Csv, vec![]).await, "pump,ts,n,x\n");
}

#[tokio::test]
async fn rows_as_json() {
    let json: Value =
        serde_json::from_str(&written(Format::Json, vec![batch(), batch()]).await).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 4);
    assert_eq!(json[1]["x"], Value::Null);
    assert_eq!(json[0]["pump"], "p-1");
    assert_eq!(written(Format::Json, vec![]).await, "[]\n");
}

#[tokio::test]
async fn no_rows_still_show_the_columns() {
    assert!(
        written(Format::Table, vec![])
            .await
            .contains("| pump | ts | n | x |")
    );
}

#[test]
fn lists_are_aligned() {
    let rows = [
        ["main".to_owned(), "1".to_owned()],
        ["a-long-name".to_owned(), "22".to_owned()],
    ];
    assert_eq!(
        to_list(["BRANCH", "N"], &rows),
        "BRANCH       N\nmain         1\na-long-name  22"
    );
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_pipe_is_told_from_other_trouble() {
    for format in [Format::Table, Format::Csv, Format::Json] {
        let mut out = Watched {
            inner: Closed,
            error: None,
        };
        let stream = futures::stream::iter([Ok(batch())]);
        write_rows(format, batch().schema(), stream, &mut out)
            .await
            .unwrap_err();
        assert!(is_closed(&cannot_write(out.error.unwrap())), "{format:?}");
    }
    assert!(!is_closed(&cannot_write(io::Error::other("disk full"))));
}
