//! SQL text to one statement that may run here.
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use catalog::{Error, Result};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Query, Statement as SqlStatement, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::stream_error;
use crate::grammar::{self, Definition, Own};
use crate::session::Action;
use crate::write::Write;

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
    /// Writes, or works on refs or the session.
    Action(Action),
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
    if sql.len() > LONGEST_TEXT || set_operations(sql) > MOST_SET_OPERATIONS {
        return Err(Error::invalid(format!(
            "the SQL text is too long: at most {LONGEST_TEXT} bytes and {MOST_SET_OPERATIONS} set operations"
        ))
        .with_hint("send the values as parameters, or split the statement"));
    }
    Ok(())
}

/// How often `sql` says UNION, INTERSECT or EXCEPT outside of literals and quoted names.
fn set_operations(sql: &str) -> usize {
    let mut tokenizer = Tokenizer::new(&GenericDialect {}, sql);
    // Text that is no SQL is for the parser to refuse.
    let tokens = tokenizer.tokenize().unwrap_or_default();
    let words = tokens.iter().filter(|token| {
        matches!(token, Token::Word(word)
            if matches!(word.keyword, Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT))
    });
    words.count()
}

fn parse_here(state: &SessionState, sql: &str) -> Result<Parsed> {
    let dialect = GenericDialect {};
    let mut parser = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .with_recursion_limit(state.config_options().sql_parser.recursion_limit)
        .build()
        .map_err(stream_error)?;
    while parser.parser.consume_token(&Token::SemiColon) {}
    if parser.parser.peek_token_ref().token == Token::EOF {
        return Err(Error::invalid("the SQL text holds no statement"));
    }
    let parsed = match grammar::parse(&mut parser.parser, sql).map_err(syntax)? {
        Some(Own::Command(command)) => Parsed::Action(Action::Command(command)),
        Some(Own::Definition(definition)) => define(*definition)?,
        None => classified(parser.parse_statement().map_err(stream_error)?)?,
    };
    expect_end(&mut parser.parser)?;
    Ok(parsed)
}

fn expect_end(parser: &mut Parser<'_>) -> Result<()> {
    let ended = parser.consume_token(&Token::SemiColon);
    while parser.consume_token(&Token::SemiColon) {}
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(()),
        _ if ended => Err(Error::invalid("more than one SQL statement in one request")
            .with_hint("send them one by one")),
        _ => parser.expected("end of statement", next).map_err(syntax),
    }
}

fn syntax(error: ParserError) -> Error {
    stream_error(DataFusionError::SQL(Box::new(error), None))
}

/// Who carries out a statement of the common grammar.
fn classified(mut statement: Statement) -> Result<Parsed> {
    number_placeholders(|numbering| number_in(&mut statement, numbering))?;
    let inner = match statement {
        Statement::Statement(inner) => inner,
        other => {
            check(&other)?;
            return Ok(Parsed::Query(Box::new(other)));
        }
    };
    let action = match *inner {
        rows @ (SqlStatement::Insert(_)
        | SqlStatement::Delete(_)
        | SqlStatement::Update(_)
        | SqlStatement::Merge(_)
        | SqlStatement::Truncate(_)) => Action::Write(Box::new(Write::Rows(Box::new(rows)))),
        SqlStatement::CreateView(_) => {
            return Err(Error::unsupported("only plain views are supported")
                .with_hint("CREATE [OR REPLACE] VIEW name [(columns)] AS query"));
        }
        SqlStatement::StartTransaction { .. } => Action::Begin,
        SqlStatement::Commit { chain: false, .. } => Action::Commit,
        SqlStatement::Rollback {
            chain: false,
            savepoint: None,
        } => Action::Rollback,
        SqlStatement::Rollback { .. } | SqlStatement::Commit { .. } => {
            return Err(Error::unsupported(
                "savepoints and chained transactions are not supported",
            ));
        }
        other => {
            if let Some(drop) = grammar::from_drop(&other).map_err(syntax)? {
                return define(drop);
            }
            check_sql(&other)?;
            return Ok(Parsed::Query(Box::new(Statement::Statement(Box::new(
                other,
            )))));
        }
    };
    Ok(Parsed::Action(action))
}

fn define(mut definition: Definition) -> Result<Parsed> {
    let numbering = number_placeholders(|numbering| {
        if let Some(query) = definition.query_mut() {
            let ControlFlow::Continue(()) = VisitMut::visit(query, numbering);
        }
    })?;
    if matches!(definition, Definition::CreateView(_)) && !numbering.is_empty() {
        return Err(Error::invalid("a view takes no parameters")
            .with_hint("write the values into its query"));
    }
    let write = Write::Define(Box::new(definition));
    Ok(Parsed::Action(Action::Write(Box::new(write))))
}

/// One query out of text that this program put together.
///
/// # Errors
/// `InvalidInput` where a part of it is no SQL.
pub(crate) fn query(text: &str) -> Result<Query> {
    let mut parser = Parser::new(&GenericDialect {})
        .try_with_sql(text)
        .map_err(syntax)?;
    parser.parse_query().map(|query| *query).map_err(syntax)
}

/// One expression out of text that this program put together.
///
/// # Errors
/// `InvalidInput` where a part of it is no SQL.
pub(crate) fn expression(text: &str) -> Result<Expr> {
    let mut parser = Parser::new(&GenericDialect {})
        .try_with_sql(text)
        .map_err(syntax)?;
    parser.parse_expr().map_err(syntax)
}

/// Refuses what only the plan shows, such as a writing statement under EXPLAIN.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| not_supported(&stream_error(error).message().to_lowercase()))
}

fn check(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Statement(inner) => check_sql(inner),
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CreateExternalTable(_) => Err(not_supported("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(not_supported("COPY")),
        Statement::Reset(_) => Err(settings("RESET")),
    }
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
        other => Err(not_supported(&first_words(other))),
    }
}

fn first_words(statement: &SqlStatement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    words.join(" ")
}

fn not_supported(what: &str) -> Error {
    Error::unsupported(format!("{what} is not supported"))
        .with_hint("docs/sql.md lists the statements")
}

fn settings(what: &str) -> Error {
    Error::unsupported(format!(
        "{what} is not supported: there are no settings to change"
    ))
    .with_hint("USE ref and USE SCHEMA name choose what names mean")
}

/// Numbers the placeholders that `visit` visits, and bounds how deep expressions nest there.
fn number_placeholders(visit: impl FnOnce(&mut Numbering)) -> Result<Numbering> {
    let mut numbering = Numbering::default();
    visit(&mut numbering);
    if numbering.deepest > DEEPEST {
        return Err(Error::invalid(format!(
            "an expression of the statement nests more than {DEEPEST} deep"
        ))
        .with_hint("write a long chain of OR as IN (...)"));
    }
    numbering.check()?;
    Ok(numbering)
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
    /// The others, by number, with their names.
    named: BTreeMap<usize, String>,
    /// One without a number.
    odd: Option<String>,
    depth: usize,
    deepest: usize,
}

impl Numbering {
    fn is_empty(&self) -> bool {
        self.anonymous == 0 && self.named.is_empty()
    }

    /// Numbers without gaps: what is kept for each parameter goes by the highest.
    fn check(&self) -> Result<()> {
        const HINT: &str = "number parameters $1, $2, ... without gaps, or use ?";
        if let Some(name) = &self.odd {
            return Err(Error::invalid(format!("parameter {name} has no number")).with_hint(HINT));
        }
        if self.anonymous > 0 && !self.named.is_empty() {
            return Err(Error::invalid("a statement has both ? and $n placeholders")
                .with_hint("use one of the two forms"));
        }
        match (1..)
            .zip(&self.named)
            .find(|(wanted, (number, _))| wanted != *number)
        {
            Some((missing, (_, name))) => Err(Error::invalid(format!(
                "parameter ${missing} is missing before {name}"
            ))
            .with_hint(HINT)),
            None => Ok(()),
        }
    }
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
                let number = name
                    .strip_prefix('$')
                    .and_then(|number| number.parse().ok());
                match number {
                    Some(number) => _ = self.named.insert(number, name.clone()),
                    None => self.odd = Some(name.clone()),
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
