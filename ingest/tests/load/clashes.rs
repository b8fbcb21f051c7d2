//! What does not fit is named by file, line, column and value, and changes nothing.

use std::collections::BTreeMap;

use catalog::ErrorKind;
use ingest::load::{Declared, LoadOptions, Notation, Standing};

use crate::support::{House, TABLE};

fn says(error: &catalog::Error, parts: &[&str]) {
    for part in parts {
        assert!(
            error.to_string().contains(part),
            "{part:?} is not in: {error}"
        );
    }
    assert!(error.is_user_error() && error.hint().is_some(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_the_table_does_not_take_are_named() {
    let house = House::new().await;
    let good = house.file("good.csv", "n,t,when,on\n1,2.5,2026-11-21 10:00:00,true\n");
    house.load(&[good], LoadOptions::default()).await.unwrap();
    for (name, text, parts) in [
        (
            "long.csv",
            "n\n1\n2\nthree\n",
            ["long.csv, line 4", "\"n\"", "long", "\"three\""],
        ),
        (
            "double.csv",
            "t\n1\n\n2\nn/a\n",
            ["double.csv, line 5", "\"t\"", "double", "\"n/a\""],
        ),
        (
            "when.csv",
            "when\n2026-11-21\nsoon\n",
            ["when.csv, line 3", "\"when\"", "timestamp", "\"soon\""],
        ),
        (
            "on.jsonl",
            "{\"on\":true}\n{\"on\":1}\n",
            ["on.jsonl, line 2", "\"on\"", "boolean", "\"1\""],
        ),
        (
            "digits.csv",
            "t\n1\n9007199254740993\n",
            ["digits.csv, line 3", "\"t\"", "round", "9007199254740993"],
        ),
        (
            "digits.jsonl",
            "{\"t\":36893488147419103233}\n",
            [
                "digits.jsonl, line 1",
                "\"t\"",
                "round",
                "36893488147419103233",
            ],
        ),
    ] {
        let error = house
            .refused(&[house.file(name, text)], LoadOptions::default())
            .await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        says(&error, &parts);
    }
    let good = house.file("more.csv", "n\n5\n");
    let bad = house.file("bad.csv", "n\nx\n");
    let error = house
        .refused(&[good.clone(), bad], LoadOptions::default())
        .await;
    says(&error, &["bad.csv, line 2"]);
    house.load(&[good], LoadOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_what_they_should_be_are_refused_with_a_way_out() {
    let house = House::new().await;
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("a,b\n".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let unclosed = format!("a,b\n1,\"x\n{}", "2,y\n".repeat(20 << 20));
    let cases: [(&str, Vec<u8>, &[&str]); 12] = [
        (
            "latin1.csv",
            b"name\nok\nM\xfcller\n".to_vec(),
            &["latin1.csv, line 3", "UTF-8", "iconv"],
        ),
        ("utf16.csv", utf16, &["utf16.csv", "UTF-16", "iconv"]),
        (
            "ragged.csv",
            b"a,b\n1,2\n3\n".to_vec(),
            &["ragged.csv, line 3", "1 cells", "2"],
        ),
        ("unclosed.csv", unclosed.into_bytes(), &["unclosed.csv"]),
        ("empty.csv", Vec::new(), &["empty.csv is empty"]),
        (
            "twice.csv",
            b"a,A\n1,2\n".to_vec(),
            &["line 1", "columns 1 and 2"],
        ),
        (
            "data.csv",
            b"1,2\n3,4\n".to_vec(),
            &["line 1", "--no-header"],
        ),
        (
            "bad.jsonl",
            b"{\"a\":1}\n[1]\n".to_vec(),
            &["bad.jsonl, line 2", "JSON"],
        ),
        (
            "tail.jsonl",
            b"{\"a\":1} {\"a\":2}\n".to_vec(),
            &["tail.jsonl, line 1"],
        ),
        (
            "twice.jsonl",
            b"{\"a\":1,\"a\":2}\n".to_vec(),
            &["line 1", "\"a\" is there twice"],
        ),
        ("cut.parquet", b"PAR1abcdefgh".to_vec(), &["cut.parquet"]),
        ("not.xlsx", b"a,b\n".to_vec(), &["not.xlsx"]),
    ];
    for (name, bytes, parts) in cases {
        let file = house.file(name, bytes);
        let error = house.refused(&[file], LoadOptions::default()).await;
        for part in parts {
            assert!(
                error.to_string().contains(part),
                "{part:?} is not in: {error}"
            );
        }
        assert!(error.is_user_error(), "{error:?}");
    }
    assert!(house.rows(TABLE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_grows_by_the_rules_of_the_lake() {
    use arrow::array::{ArrayRef, Float64Array, Int32Array};
    use std::sync::Arc;

    let house = House::new().await;
    let columns: [(&str, ArrayRef); 2] = [
        ("n", Arc::new(Int32Array::from(vec![1]))),
        ("t", Arc::new(Float64Array::from(vec![0.5]))),
    ];
    house.append(TABLE, nullable(columns)).await;
    let file = house.file("wide.csv", "n,t,new\n5000000000,7,x\n");
    let plan = house.plan(&[file], LoadOptions::default()).await.unwrap();
    let standings: Vec<_> = plan
        .reading
        .columns
        .iter()
        .map(|column| column.standing)
        .collect();
    assert_eq!(
        standings,
        [Standing::Widened, Standing::There, Standing::Added]
    );
    house.run(plan).await.unwrap();
    assert_eq!(house.rows(TABLE).await, ["1,0.5", "5000000000,7.0,x"]);

    // Files that lack columns, or have them in another order.
    let file = house.file("less.csv", "new,n\ny,2\n");
    house.load(&[file], LoadOptions::default()).await.unwrap();
    assert_eq!(
        house.rows(TABLE).await,
        ["1,0.5", "2,,y", "5000000000,7.0,x"]
    );
    let file = house.file("case.csv", "New\ny\n");
    let error = house.refused(&[file], LoadOptions::default()).await;
    says(&error, &["New"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_types_are_kept_to() {
    let house = House::new().await;
    let declared = |types: &[(&str, &str)]| LoadOptions {
        types: types
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), kind.parse::<Declared>().unwrap()))
            .collect::<BTreeMap<_, _>>(),
        notation: Notation {
            decimal_comma: true,
            nulls: vec!["-".into()],
        },
        ..LoadOptions::default()
    };
    let text = "day;at;id;t\n21.11.2026;21.11.2026 10:30;7;1,5\n-;-;8;-\n";
    let types = [
        ("day", "date:%d.%m.%Y"),
        ("at", "timestamp:%d.%m.%Y %H:%M"),
        ("id", "string"),
    ];
    house
        .load(&[house.file("german.csv", text)], declared(&types))
        .await
        .unwrap();
    let expected = [",,8,", "2026-11-21,2026-11-21T10:30:00Z,7,1.5"];
    assert_eq!(house.rows(TABLE).await, expected);

    let error = house
        .refused(
            &[house.file("bad.csv", "id;day\n9;2026-11-21\n")],
            declared(&types[..1]),
        )
        .await;
    says(&error, &["bad.csv, line 2", "\"day\"", "2026-11-21"]);
    let error = house
        .refused(
            &[house.file("int.csv", "k\n1\n3000000000\n")],
            declared(&[("k", "int")]),
        )
        .await;
    says(&error, &["int.csv, line 3", "3000000000"]);
    let error = house
        .refused(
            &[house.file("t.csv", "t\n1\n")],
            declared(&[("t", "string")]),
        )
        .await;
    says(&error, &["double", "string"]);
    let error = house
        .refused(
            &[house.file("no.csv", "t\n1\n")],
            declared(&[("x", "string")]),
        )
        .await;
    says(&error, &["--type", "\"x\""]);
    let timed = LoadOptions {
        time: Some("name".into()),
        ..LoadOptions::default()
    };
    let error = house
        .refused(&[house.file("name.csv", "name\nx\n")], timed)
        .await;
    says(&error, &["name.csv, line 2", "no times"]);
}

fn nullable(columns: [(&str, arrow::array::ArrayRef); 2]) -> arrow::array::RecordBatch {
    let columns = columns.map(|(name, array)| (name, array, true));
    arrow::array::RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_column_has_to_have_values() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use std::sync::Arc;

    let house = House::new().await;
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
    house.append(TABLE, rows).await;
    for text in ["m\n1\n", "n,m\n1,1\n,2\n"] {
        let file = house.file("a.csv", text);
        let error = house.refused(&[file], LoadOptions::default()).await;
        says(&error, &["\"n\"", "required"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_is_not_closed_does_not_swallow_the_rest() {
    let house = House::new().await;
    let file = house.file("open.csv", "n,name\n1,one\n2,\"two\n3,three\n");
    let error = house.refused(&[file], LoadOptions::default()).await;
    assert!(
        error.to_string().contains("a quote is not closed"),
        "{error}"
    );
    // Files of programs that quote nothing have inches in them.
    let file = house.file("inches.csv", "n,name\n1,5\" pipe\n2,two\n");
    house.load(&[file], LoadOptions::default()).await.unwrap();
    assert_eq!(house.rows(TABLE).await, ["1,5\" pipe", "2,two"]);
}
