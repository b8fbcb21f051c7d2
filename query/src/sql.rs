//! SQL text to one statement that may run here.
use std::ops::ControlFlow;

use catalog::{Error, Result};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Statement as SqlStatement, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::error::stream_error;

/// The longest SQL text, in bytes.
const LONGEST_TEXT: usize = 256 * 1024;
/// The deepest nesting of expressions; a chain such as `a or b or c` nests once an operator.
const DEEPEST: usize = 500;
/// The most UNION, INTERSECT and EXCEPT in one text: they nest too, out of the visitor's sight.
const MOST_SET_OPERATIONS: usize = 200;
/// Stack for parsing, and for dropping what was parsed: both recurse as deep as the text says.
const PARSER_STACK: usize = 512 << 20;

/// A statement, by who carries it out.
pub(crate) enum Parsed {
    /// Reads: DataFusion plans it.
    Query(Box<Statement>),
    /// Changes the rows of one table.
    Rows(Box<SqlStatement>),
}

/// Parses `sql`; `?` placeholders become `$1`, `$2`, ... from left to right.
///
/// # Errors
/// `InvalidInput` for a syntax error or anything but one statement, `Unsupported`
/// for a statement that is not known here.
pub(crate) fn parse(state: &SessionState, sql: &str) -> Result<Parsed> {
    check_size(sql)?;
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(PARSER_STACK);
        let parsing = parser
            .spawn_scoped(scope, || parse_here(state, sql))
            .map_err(|e| Error::unavailable("no thread to parse SQL on").with_source(e))?;
        let panicked = |_| Error::internal("the SQL parser panicked");
        parsing.join().map_err(panicked)?
    })
}

fn check_size(sql: &str) -> Result<()> {
    let lower = sql.to_ascii_lowercase();
    let words = ["union", "intersect", "except"];
    let set_operations: usize = words.iter().map(|word| lower.matches(word).count()).sum();
    if sql.len() > LONGEST_TEXT || set_operations > MOST_SET_OPERATIONS {
        return Err(Error::invalid(format!(
            "the SQL text is too long: at most {LONGEST_TEXT} bytes and {MOST_SET_OPERATIONS} set operations"
        ))
        .with_hint("send the values as parameters, or split the statement"));
    }
    Ok(())
}

fn parse_here(state: &SessionState, sql: &str) -> Result<Parsed> {
    let dialect = GenericDialect {};
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .with_recursion_limit(state.config_options().sql_parser.recursion_limit)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(stream_error)?;
    let Some(mut statement) = statements.pop_front() else {
        return Err(Error::invalid("the SQL text holds no statement"));
    };
    if !statements.is_empty() {
        return Err(Error::invalid("more than one SQL statement in one request")
            .with_hint("send them one by one"));
    }
    number_placeholders(&mut statement)?;
    match statement {
        Statement::Statement(inner) if changes_rows(&inner) => Ok(Parsed::Rows(inner)),
        statement => {
            check(&statement)?;
            Ok(Parsed::Query(Box::new(statement)))
        }
    }
}

/// Refuses what only the plan shows, such as a writing statement under EXPLAIN.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| read_only(&stream_error(error).message().to_lowercase()))
}

fn check(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Statement(inner) => check_sql(inner),
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CreateExternalTable(_) => Err(read_only("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(read_only("COPY")),
        Statement::Reset(_) => Err(settings("RESET")),
    }
}

fn changes_rows(statement: &SqlStatement) -> bool {
    matches!(
        statement,
        SqlStatement::Insert(_)
            | SqlStatement::Delete(_)
            | SqlStatement::Update(_)
            | SqlStatement::Merge(_)
            | SqlStatement::Truncate(_)
    )
}

/// A list of what is allowed, so that a new kind of statement is refused until it is looked at.
fn check_sql(statement: &SqlStatement) -> Result<()> {
    match statement {
        SqlStatement::Query(_)
        | SqlStatement::ExplainTable { .. }
        | SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        | SqlStatement::ShowFunctions { .. }
        | SqlStatement::ShowVariable { .. } => Ok(()),
        SqlStatement::Explain { statement, .. } => check_sql(statement),
        SqlStatement::Set(_) => Err(settings("SET")),
        SqlStatement::StartTransaction { .. }
        | SqlStatement::Commit { .. }
        | SqlStatement::Rollback { .. } => Err(Error::unsupported(
            "transactions are not supported: every statement reads one commit of each branch",
        )),
        other => Err(read_only(&first_words(other))),
    }
}

pub(crate) fn first_words(statement: &SqlStatement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    words.join(" ")
}

fn read_only(what: &str) -> Error {
    Error::unsupported(format!("SQL is read-only here: {what} is not supported"))
        .with_hint("rows arrive through ingest, tables and branches change through commits")
}

fn settings(what: &str) -> Error {
    Error::unsupported(format!(
        "{what} is not supported: a statement has no session to keep settings in"
    ))
}

fn number_placeholders(statement: &mut Statement) -> Result<()> {
    let mut numbering = Numbering::default();
    number_in(statement, &mut numbering);
    if numbering.deepest > DEEPEST {
        return Err(Error::invalid(format!(
            "an expression of the statement nests more than {DEEPEST} deep"
        ))
        .with_hint("write a long chain of OR as IN (...)"));
    }
    if numbering.anonymous > 0 && numbering.named {
        return Err(Error::invalid("a statement has both ? and $n placeholders")
            .with_hint("use one of the two forms"));
    }
    Ok(())
}

fn number_in(statement: &mut Statement, numbering: &mut Numbering) {
    match statement {
        Statement::Statement(inner) => {
            let ControlFlow::Continue(()) = VisitMut::visit(inner.as_mut(), numbering);
        }
        Statement::Explain(explain) => number_in(&mut explain.statement, numbering),
        _ => {}
    }
}

#[derive(Default)]
struct Numbering {
    anonymous: usize,
    named: bool,
    depth: usize,
    deepest: usize,
}

impl VisitorMut for Numbering {
    type Break = std::convert::Infallible;

    fn pre_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<Self::Break> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut Value) -> ControlFlow<Self::Break> {
        if let Value::Placeholder(name) = value {
            if name == "?" {
                self.anonymous += 1;
                *name = format!("${}", self.anonymous);
            } else {
                self.named = true;
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use catalog::ErrorKind;
    use datafusion::execution::SessionStateBuilder;

    use super::*;

    fn parsed(sql: &str) -> Result<Statement> {
        let state = SessionStateBuilder::new_with_default_features().build();
        match parse(&state, sql)? {
            Parsed::Query(statement) => Ok(*statement),
            Parsed::Rows(statement) => Ok(Statement::Statement(statement)),
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
            vec!["select 1"; 5_000].join(" union all "),
            format!("select '{}'", "x".repeat(LONGEST_TEXT)),
        ] {
            let error = parsed(&sql).unwrap_err();
            assert!(error.is_user_error(), "{error}");
        }
        let fits = format!("select {}", vec!["a = 1"; 400].join(" or "));
        assert!(parsed(&fits).is_ok());
    }

    #[test]
    fn writing_statements_are_refused() {
        for sql in [
            "create table t (a int)",
            "create external table t stored as csv location '/etc/passwd'",
            "copy (select 1) to '/tmp/x.parquet'",
            "drop table t",
            "set datafusion.execution.batch_size = 1",
            "reset datafusion.execution.batch_size",
            "explain copy (select 1) to '/tmp/x.parquet'",
            "explain create table t as select 1",
            "prepare p as select 1",
            "begin",
            "commit",
            "create function f() returns int return 1",
        ] {
            let error = parsed(sql).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
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
            let error = parsed(sql).unwrap_err();
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
}
