//! Statements that change rows: what is left in the table, what is rewritten, what is told.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use catalog::ErrorKind;
use lake::{Lake, PartitionField, TableSpec};
use query::{Engine, Outcome, Session, SessionOptions};

use crate::fixture::{column, config, empty_lake, key, meta, timestamp};

pub(crate) struct Shell {
    pub(crate) lake: Lake,
    pub(crate) engine: Engine,
    pub(crate) session: Session,
}

impl Shell {
    /// With the table `t.rows (id not null, k, s, x, ts)`, empty.
    pub(crate) async fn new(partition: Vec<PartitionField>) -> Shell {
        let lake = empty_lake().await;
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("k", DataType::Int32, true),
            Field::new("s", DataType::Utf8, true),
            Field::new("x", DataType::Float64, true),
            Field::new("ts", timestamp(), true),
        ]);
        let spec = TableSpec {
            schema: Arc::new(schema),
            partition,
            ..TableSpec::default()
        };
        let name = key("t.rows");
        lake.create_table("main", &name, &spec, meta("create"))
            .await
            .unwrap();
        let mut config = config();
        config.default_namespace = "t".to_owned();
        let engine = Engine::new(lake.clone(), None, config);
        let session = engine.session(SessionOptions {
            author: "test".to_owned(),
            ..SessionOptions::default()
        });
        Shell {
            lake,
            engine,
            session,
        }
    }

    /// Runs a statement that writes, and returns the rows it changed.
    pub(crate) async fn run(&self, sql: &str) -> u64 {
        match self.session.execute(sql, &[]).await {
            Ok(Outcome::Done { rows_affected, .. }) => rows_affected.unwrap(),
            Ok(Outcome::Rows(_)) => panic!("{sql} gave rows"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    pub(crate) async fn refused(&self, sql: &str) -> catalog::Error {
        match self.session.execute(sql, &[]).await {
            Ok(_) => panic!("{sql} ran"),
            Err(error) => error,
        }
    }

    pub(crate) async fn rows(&self) -> Vec<String> {
        let sql = "select concat_ws(' ', id, coalesce(arrow_cast(k, 'Utf8'), '-'), coalesce(s, '-')) \
                   from rows order by id, k, s";
        column(&self.engine, sql).await
    }

    async fn files(&self) -> Vec<String> {
        let head = self.lake.catalog().head("main").await.unwrap();
        let table = self.lake.table(&head, &key("t.rows")).await.unwrap();
        let files = table.data_files().await.unwrap();
        let mut paths: Vec<String> = files.iter().map(|file| file.path.to_string()).collect();
        paths.sort();
        paths
    }

    pub(crate) async fn head(&self) -> String {
        let head = self.lake.catalog().head("main").await.unwrap();
        head.id().to_string()
    }
}

/// Three files of two rows.
pub(crate) async fn filled() -> Shell {
    let shell = Shell::new(Vec::new()).await;
    for (first, second) in [(1, 2), (3, 4), (5, 6)] {
        let sql = format!(
            "insert into rows (id, k, s) values ({first}, {first}, 'a'), ({second}, null, 'b')"
        );
        assert_eq!(shell.run(&sql).await, 2);
    }
    shell
}

#[tokio::test]
async fn inserts_take_columns_types_and_queries() {
    let shell = Shell::new(Vec::new()).await;
    shell
        .run("insert into rows values (1, 2, 'x', 0.5, '2026-11-01T00:00:00Z')")
        .await;
    shell
        .run("insert into t.rows (s, id) values ('y', '7'), (null, 8)")
        .await;
    assert_eq!(
        shell
            .run("insert into main.t.rows select id + 10, k from rows")
            .await,
        3
    );
    assert_eq!(
        shell
            .run("insert into rows (id) select id from rows where false")
            .await,
        0
    );
    assert_eq!(
        shell.rows().await,
        ["1 2 x", "7 - y", "8 - -", "11 2 -", "17 - -", "18 - -"]
    );
    let times = column(&shell.engine, "select ts from rows where id = 1").await;
    assert_eq!(times, ["2026-11-01T00:00:00Z"]);
    assert_eq!(shell.run("insert overwrite rows (id) values (3)").await, 1);
    assert_eq!(shell.rows().await, ["3 - -"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name_and_changes_nothing() {
    let shell = filled().await;
    let before = shell.head().await;
    for (sql, part) in [
        ("insert into rows (k) values (1)", "\"id\""),
        ("insert into rows (id) values (null)", "\"id\""),
        ("insert into rows (id, k) values (1, 3000000000)", "\"k\""),
        ("insert into rows (id, k) values (1, true)", "\"k\""),
        ("insert into rows (id, x) values (1, 'much')", "\"x\""),
        ("insert into rows (id, y) values (1, 1)", "\"y\""),
        ("insert into rows (id, id) values (1, 1)", "twice"),
        ("insert into rows (id, k) values (1)", "1 value"),
        ("insert into rows values (1, 1, 'a', 1, null, 1)", "6 value"),
        ("update rows set id = null where k = 1", "\"id\""),
        ("update rows set y = 1", "\"y\""),
        ("update rows set k = 1, k = 2", "twice"),
        ("update rows set k = 's'", "\"k\""),
    ] {
        let error = shell.refused(sql).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sql}: {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
    for sql in [
        "insert into rows (id) values (1) returning id",
        "insert into rows (id) values (1) on conflict do nothing",
        "delete from rows using rows as other where rows.id = other.id",
    ] {
        let error = shell.refused(sql).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
    }
    assert_eq!(shell.head().await, before);
}

#[tokio::test]
async fn deletes_rewrite_only_the_files_with_matching_rows() {
    let shell = filled().await;
    let before = shell.files().await;
    assert_eq!(shell.run("delete from rows where k = 3").await, 1);
    let after = shell.files().await;
    assert_eq!(before.iter().filter(|file| after.contains(file)).count(), 2);
    // Null is not true, and so are not its negation and comparison.
    assert_eq!(shell.run("delete from rows where not (k = 1)").await, 1);
    assert_eq!(shell.rows().await, ["1 1 a", "2 - b", "4 - b", "6 - b"]);
    // Whole files only go.
    assert_eq!(shell.run("delete from rows r where r.id < 3").await, 2);
    assert_eq!(shell.files().await.len(), 2);
    let head = shell.head().await;
    assert_eq!(shell.run("delete from rows where id = 99").await, 0);
    assert_eq!(shell.head().await, head);
    assert_eq!(shell.run("delete from rows").await, 2);
    assert_eq!(shell.rows().await, Vec::<String>::new());
    shell.run("insert into rows (id) values (1), (2)").await;
    assert_eq!(shell.run("truncate table rows").await, 2);
    assert_eq!(shell.files().await.len(), 0);
}

#[tokio::test]
async fn conditions_may_hold_subqueries() {
    let shell = filled().await;
    let sql = "delete from rows where id > (select avg(id) from rows) and s = 'b'";
    assert_eq!(shell.run(sql).await, 2);
    assert_eq!(shell.rows().await, ["1 1 a", "2 - b", "3 3 a", "5 5 a"]);
    let sql = "delete from rows where id in (select id + 1 from rows as other) or id = 5";
    assert_eq!(shell.run(sql).await, 3);
    assert_eq!(shell.rows().await, ["1 1 a"]);
    shell
        .run("insert into rows (id, k) values (2, 7), (3, null)")
        .await;
    // A null among the values makes NOT IN unknown for every other row.
    let sql = "delete from rows where id not in (select k from rows)";
    assert_eq!(shell.run(sql).await, 0);
    let sql = "update rows set s = 'u' where not exists (select 1 from rows o where o.k = rows.id)";
    assert_eq!(shell.run(sql).await, 2);
    assert_eq!(shell.rows().await, ["1 1 a", "2 7 u", "3 - u"]);
    let sql = "update rows set k = (select max(id) from rows) where t.rows.id = 3";
    assert_eq!(shell.run(sql).await, 1);
    assert_eq!(shell.rows().await, ["1 1 a", "2 7 u", "3 3 u"]);
}

#[tokio::test]
async fn updates_see_the_row_as_it_was() {
    let shell = filled().await;
    let sql = "update rows set k = coalesce(k, 0) + 10, s = s || id where id <= 2";
    assert_eq!(shell.run(sql).await, 2);
    assert_eq!(
        shell
            .run("update rows as r set id = r.k, k = r.id where r.k = 5")
            .await,
        1
    );
    assert_eq!(
        shell.run("update rows set s = 'none' where k = 99").await,
        0
    );
    assert_eq!(
        shell.rows().await,
        ["1 11 a1", "2 10 b2", "3 3 a", "4 - b", "5 5 a", "6 - b"]
    );
    assert_eq!(shell.run("update rows set k = 0").await, 6);
    assert_eq!(
        column(&shell.engine, "select sum(k) from rows").await,
        ["0"]
    );
    let sql = "update rows set s = n.name from (values (1, 'one'), (2, 'two')) as n(id, name) \
               where n.id = rows.id";
    assert_eq!(shell.run(sql).await, 2);
    assert_eq!(shell.rows().await[..2], ["1 0 one", "2 0 two"]);
    let sql = "update rows set s = n.name \
               from (select column1 as id, column2 as name from (values (1, 'one!'), (2, 'two!'))) as n \
               where n.id = rows.id";
    assert_eq!(shell.run(sql).await, 2);
    assert_eq!(shell.rows().await[..2], ["1 0 one!", "2 0 two!"]);
}

#[tokio::test]
async fn merges_update_delete_and_insert() {
    let shell = filled().await;
    let sql = "merge into rows as r \
               using (select id + 2 as id, k, s from rows where id > 2) as n on r.id = n.id \
               when matched and n.s = 'b' then delete \
               when matched then update set s = n.s || '!', k = n.k * 100 \
               when not matched and n.id = 8 then insert (id, s) values (n.id, 'new') \
               when not matched then insert row \
               when not matched by source and r.id = 1 then update set s = 'gone' \
               when not matched by source and r.id = 2 then delete";
    let error = shell.refused(sql).await;
    assert!(error.is_user_error(), "{error}");
    let sql = sql.replace(
        "then insert row",
        "then insert (id, k, s) values (n.id, n.k, n.s)",
    );
    assert_eq!(shell.run(&sql).await, 6);
    assert_eq!(
        shell.rows().await,
        ["1 1 gone", "3 3 a", "4 - b", "5 300 a!", "7 5 a", "8 - new"]
    );
    // Only inserts: no file is rewritten.
    let before = shell.files().await;
    let sql = "merge into rows using (select 9 as id union all select 1) n on rows.id = n.id \
               when not matched then insert (id) values (n.id)";
    assert_eq!(shell.run(sql).await, 1);
    let after = shell.files().await;
    assert!(before.iter().all(|file| after.contains(file)));
}

#[tokio::test]
async fn two_source_rows_for_one_target_row_are_refused() {
    let shell = filled().await;
    let source = "(select 1 as id, 1 as v union all select 1, 2) as n";
    let sql = format!(
        "merge into rows using {source} on rows.id = n.id when matched then update set k = n.v"
    );
    let error = shell.refused(&sql).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("more than one"), "{error}");
    // Only one of the two acts.
    let sql = sql.replace("when matched", "when matched and n.v = 2");
    assert_eq!(shell.run(&sql).await, 1);
    assert_eq!(shell.rows().await[0], "1 2 a");
}

/// All queries of a statement are of one moment: a row that a condition with `now()` is
/// about must not be kept by one and changed by the other, nor lost between them.
#[tokio::test]
async fn now_is_one_moment_in_a_statement() {
    let shell = filled().await;
    let sql = "merge into rows using (values (1), (9)) as n on rows.id = n.column1 \
               when matched then update set ts = now() \
               when not matched then insert (id, ts) values (n.column1, now())";
    assert_eq!(shell.run(sql).await, 2);
    let sql = "select count(distinct ts) from rows";
    assert_eq!(column(&shell.engine, sql).await, ["1"]);
}
