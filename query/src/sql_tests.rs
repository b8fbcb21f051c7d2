//! What SQL text passes, what is refused, and how placeholders are numbered.

use catalog::ErrorKind;
use datafusion::execution::SessionStateBuilder;

use super::*;

fn any(sql: &str) -> Result<Parsed> {
    let state = SessionStateBuilder::new_with_default_features().build();
    parse(&state, sql)
}

fn parsed(sql: &str) -> Result<Statement> {
    match any(sql)? {
        Parsed::Query(statement) => Ok(*statement),
        Parsed::Action(action) => panic!("{sql} is {action:?}"),
    }
}

#[test]
fn reading_statements_pass() {
    for sql in [
        "select 1",
        "with t as (select 1 as a) select * from t",
        "values (1), (2)",
        "explain select 1",
        "explain analyze verbose select 1",
        "describe pumps.telemetry",
        "show tables",
        "show columns from pumps.telemetry",
        "show all",
    ] {
        assert!(parsed(sql).is_ok(), "{sql}");
    }
}

/// Regression: parsed in a loop, such a chain overflowed the stack when it was dropped.
#[test]
fn endless_chains_are_refused() {
    for sql in [
        format!("select {}", vec!["a = 1"; 20_000].join(" or ")),
        format!("select {}1", "1+".repeat(120_000)),
        format!("copy (select {}1) to 'x'", "1+".repeat(100_000)),
        format!("delete from t where {}", vec!["a = 1"; 20_000].join(" or ")),
        format!("create view v as select {}1", "1+".repeat(100_000)),
        format!("create table t as select {}1", "1+".repeat(100_000)),
        vec!["select 1"; 5_000].join(" union all "),
        format!("select '{}'", "x".repeat(LONGEST_TEXT)),
    ] {
        let error = any(&sql).map(|_| ()).unwrap_err();
        assert!(error.is_user_error(), "{error}");
    }
    let fits = format!("select {}", vec!["a = 1"; 400].join(" or "));
    assert!(parsed(&fits).is_ok());
}

#[test]
fn statements_of_other_systems_are_refused() {
    for sql in [
        "create external table t stored as csv location '/etc/passwd'",
        "copy (select 1) to '/tmp/x.parquet'",
        "set datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "explain copy (select 1) to '/tmp/x.parquet'",
        "explain create table t as select 1",
        "prepare p as select 1",
        "create function f() returns int return 1",
        "drop function f",
        "savepoint a",
        "rollback to a",
    ] {
        let error = any(sql).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
    }
}

#[test]
fn writing_statements_are_actions() {
    for sql in [
        "insert into t values (1)",
        "update t set a = 1",
        "delete from t",
        "merge into t using s on t.a = s.a when matched then delete",
        "truncate table t",
        "create table t (a int)",
        "create or replace view v as select 1",
        "drop view if exists v",
        "merge branch a into main",
        "create branch \"feature/x\" from \"main@2026-11-01T00:00:00Z\";",
        "use dev",
        "begin",
        "end",
    ] {
        assert!(matches!(any(sql), Ok(Parsed::Action(_))), "{sql}");
    }
}

#[test]
fn not_one_statement_is_refused() {
    for sql in [
        "",
        "  ;",
        "-- nothing",
        "select 1; select 2",
        "selec 1",
        "select 'a",
    ] {
        let error = any(sql).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sql}: {error}");
    }
}

#[test]
fn question_marks_are_numbered_as_written() {
    let statement = parsed("select ? from t where a between ? and ? limit ?").unwrap();
    assert_eq!(
        statement.to_string(),
        "SELECT $1 FROM t WHERE a BETWEEN $2 AND $3 LIMIT $4"
    );
    assert!(parsed("select ? + $1").is_err());
}

/// Regression: a field was made for each number up to the highest.
#[test]
fn parameters_are_numbered_without_gaps() {
    assert!(parsed("select $2, $1, $2").is_ok());
    for (sql, wrong) in [
        ("insert into t values ($4000000000)", "$1"),
        (
            "insert into t values ($1, $18446744073709551616)",
            "$18446744073709551616",
        ),
        ("delete from t where a = $1 or a = $3", "$2"),
        ("create table t as select $2", "$1"),
        ("select $0, $1", "$0"),
        ("select $name", "$name"),
        ("create view v as select $1", "view"),
    ] {
        let error = any(sql).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sql}: {error}");
        assert!(error.message().contains(wrong), "{sql}: {error}");
    }
}

/// Regression: they were counted in literals too.
#[test]
fn set_operations_are_words_of_the_statement() {
    let rows = vec!["('an exception of the union', \"except\")"; 300].join(", ");
    assert!(any(&format!("insert into t values {rows}")).is_ok());
}

#[test]
fn the_query_of_a_view_is_kept_as_written() {
    let sql = "/* ü\n */ create or replace view v (\"a b\") as\n                     select '6''2\"' -- inches\n  as x ;";
    let Ok(Parsed::Action(Action::Write(write))) = any(sql) else {
        panic!("{sql}");
    };
    let Write::Define(definition) = *write else {
        panic!("{sql}");
    };
    let Definition::CreateView(view) = *definition else {
        panic!("{sql}");
    };
    assert_eq!(view.text, "select '6''2\"' -- inches\n  as x");
    assert_eq!(view.columns, ["a b"]);
}
