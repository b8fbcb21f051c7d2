//! Statements of tables, views and namespaces.
use std::collections::BTreeMap;

use catalog::CommitId;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{DataType, ObjectType, Query, Statement};
use datafusion::sql::sqlparser::parser::{IsOptional, Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use lake::PartitionField;

use super::alter::{self, Change};
use super::words::{
    argument, at, eat, expect, name, normal, position, properties, table, table_reference, text,
};

/// A statement that changes what a key points to.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    CreateTable(CreateTable),
    CreateView(CreateView),
    /// `ALTER TABLE [IF EXISTS] name changes`
    Alter {
        name: TableReference,
        if_exists: bool,
        changes: Vec<Change>,
    },
    /// `DROP TABLE|VIEW [IF EXISTS] names`
    Drop {
        view: bool,
        names: Vec<TableReference>,
        if_exists: bool,
    },
    /// `CREATE SCHEMA [IF NOT EXISTS] [ref.]name [WITH (...)]`
    CreateSchema {
        reference: Option<String>,
        name: String,
        if_not_exists: bool,
        properties: BTreeMap<String, String>,
    },
    /// `DROP SCHEMA [IF EXISTS] [ref.]name [CASCADE]`
    DropSchema {
        reference: Option<String>,
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    /// `CALL rollback('name', snapshot-id | 'ref')`: a table as it was.
    Rollback {
        name: TableReference,
        to: String,
        /// The commit that `to` was when the statement began; `None` until then, and for a
        /// snapshot id.
        at: Option<CommitId>,
    },
}

/// `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [(columns)] [PARTITIONED BY (...)]
/// [SORTED BY (...)] [WITH (...)] [AS query]`
#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: TableReference,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnSpec>,
    pub(crate) partition: Vec<PartitionField>,
    pub(crate) sort: Vec<String>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) query: Option<Box<Query>>,
}

/// A column of a new table.
#[derive(Clone, Debug)]
pub(crate) struct ColumnSpec {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
}

/// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(columns)] AS query`
#[derive(Clone, Debug)]
pub(crate) struct CreateView {
    pub(crate) name: TableReference,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    /// Names of the columns, where given.
    pub(crate) columns: Vec<String>,
    pub(crate) query: Box<Query>,
    /// The query as it was written: what the parser makes of it does not say all of it
    /// again, such as the quotes in a literal.
    pub(crate) text: String,
}

impl Definition {
    /// What its answer begins with.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Definition::CreateTable(_) => "CREATE TABLE",
            Definition::CreateView(_) => "CREATE VIEW",
            Definition::Alter { .. } => "ALTER TABLE",
            Definition::Drop { view: false, .. } => "DROP TABLE",
            Definition::Drop { view: true, .. } => "DROP VIEW",
            Definition::CreateSchema { .. } => "CREATE SCHEMA",
            Definition::DropSchema { .. } => "DROP SCHEMA",
            Definition::Rollback { .. } => "ROLLBACK",
        }
    }

    /// The query it holds.
    pub(crate) fn query(&self) -> Option<&Query> {
        match self {
            Definition::CreateTable(create) => create.query.as_deref(),
            Definition::CreateView(create) => Some(&create.query),
            _ => None,
        }
    }

    /// As [`Definition::query`], to work on it in place.
    pub(crate) fn query_mut(&mut self) -> Option<&mut Query> {
        match self {
            Definition::CreateTable(create) => create.query.as_deref_mut(),
            Definition::CreateView(create) => Some(&mut create.query),
            _ => None,
        }
    }
}

pub(super) fn parse(parser: &mut Parser<'_>, sql: &str) -> Result<Option<Definition>, ParserError> {
    if eat(parser, &["create", "view"]) {
        return create_view(parser, false, sql).map(Some);
    }
    if eat(parser, &["create", "or", "replace", "view"]) {
        return create_view(parser, true, sql).map(Some);
    }
    if eat(parser, &["create", "table"]) {
        return create_table(parser, false).map(Some);
    }
    if eat(parser, &["create", "or", "replace", "table"]) {
        return create_table(parser, true).map(Some);
    }
    if eat(parser, &["alter", "table"]) {
        let if_exists = eat(parser, &["if", "exists"]);
        let name = table(parser)?;
        let changes = alter::changes(parser)?;
        return Ok(Some(Definition::Alter {
            name,
            if_exists,
            changes,
        }));
    }
    if at(parser, &["call", "rollback"]) {
        parser.next_token();
        parser.next_token();
        return rollback(parser).map(Some);
    }
    if eat(parser, &["create", "schema"]) || eat(parser, &["create", "namespace"]) {
        let if_not_exists = eat(parser, &["if", "not", "exists"]);
        let (reference, name) = schema(parser)?;
        let properties = with(parser)?;
        return Ok(Some(Definition::CreateSchema {
            reference,
            name,
            if_not_exists,
            properties,
        }));
    }
    if eat(parser, &["drop", "schema"]) || eat(parser, &["drop", "namespace"]) {
        let if_exists = eat(parser, &["if", "exists"]);
        let (reference, name) = schema(parser)?;
        let cascade = eat(parser, &["cascade"]);
        let _ = !cascade && eat(parser, &["restrict"]);
        return Ok(Some(Definition::DropSchema {
            reference,
            name,
            if_exists,
            cascade,
        }));
    }
    Ok(None)
}

fn create_table(parser: &mut Parser<'_>, or_replace: bool) -> Result<Definition, ParserError> {
    let if_not_exists = eat(parser, &["if", "not", "exists"]);
    let name = table(parser)?;
    let mut create = CreateTable {
        name,
        or_replace,
        if_not_exists,
        columns: Vec::new(),
        partition: Vec::new(),
        sort: Vec::new(),
        properties: BTreeMap::new(),
        query: None,
    };
    if parser.consume_token(&Token::LParen) {
        create.columns = parser.parse_comma_separated(column)?;
        parser.expect_token(&Token::RParen)?;
    }
    loop {
        if eat(parser, &["partitioned", "by"]) || eat(parser, &["partition", "by"]) {
            create.partition = alter::partition_fields(parser)?;
        } else if eat(parser, &["sorted", "by"]) {
            let columns = parser.parse_parenthesized_column_list(IsOptional::Mandatory, false)?;
            create.sort = columns.into_iter().map(normal).collect();
        } else if at(parser, &["with"]) || at(parser, &["tblproperties"]) {
            create.properties.extend(with(parser)?);
        } else if eat(parser, &["using", "iceberg"]) {
            // The only format, said aloud by those who come from Spark.
        } else {
            break;
        }
    }
    if eat(parser, &["as"]) {
        create.query = Some(parser.parse_query()?);
    }
    if create.columns.is_empty() && create.query.is_none() {
        return parser.expected("columns or AS query", parser.peek_token());
    }
    if !create.columns.is_empty() && create.query.is_some() {
        return Err(ParserError::ParserError(
            "CREATE TABLE takes columns or AS query, not both".to_owned(),
        ));
    }
    Ok(Definition::CreateTable(create))
}

fn create_view(
    parser: &mut Parser<'_>,
    or_replace: bool,
    sql: &str,
) -> Result<Definition, ParserError> {
    let if_not_exists = eat(parser, &["if", "not", "exists"]);
    let name = table(parser)?;
    let mut columns = Vec::new();
    if parser.consume_token(&Token::LParen) {
        columns = parser.parse_comma_separated(self::name)?;
        parser.expect_token(&Token::RParen)?;
    }
    expect(parser, &["as"])?;
    let start = position(sql, parser.peek_token().span.start);
    let query = parser.parse_query()?;
    let next = parser.peek_token();
    let end = match next.token {
        Token::EOF => sql.len(),
        _ => position(sql, next.span.start),
    };
    Ok(Definition::CreateView(CreateView {
        name,
        or_replace,
        if_not_exists,
        columns,
        query,
        text: sql.get(start..end).unwrap_or_default().trim().to_owned(),
    }))
}

fn column(parser: &mut Parser<'_>) -> Result<ColumnSpec, ParserError> {
    let name = name(parser)?;
    let data_type = parser.parse_data_type()?;
    let nullable = !eat(parser, &["not", "null"]);
    let _ = nullable && eat(parser, &["null"]);
    Ok(ColumnSpec {
        name,
        data_type,
        nullable,
    })
}

/// `[WITH|TBLPROPERTIES (...)]`
fn with(parser: &mut Parser<'_>) -> Result<BTreeMap<String, String>, ParserError> {
    match eat(parser, &["with"]) || eat(parser, &["tblproperties"]) {
        true => properties(parser),
        false => Ok(BTreeMap::new()),
    }
}

fn rollback(parser: &mut Parser<'_>) -> Result<Definition, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let name = TableReference::from(text(parser)?);
    parser.expect_token(&Token::Comma)?;
    let to = argument(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Definition::Rollback { name, to, at: None })
}

/// `[ref.]name`
fn schema(parser: &mut Parser<'_>) -> Result<(Option<String>, String), ParserError> {
    let first = name(parser)?;
    match parser.consume_token(&Token::Period) {
        true => Ok((Some(first), name(parser)?)),
        false => Ok((None, first)),
    }
}

/// `DROP TABLE` and `DROP VIEW` as the common grammar reads them; `None` for another kind.
///
/// # Errors
/// For a name of too many parts.
pub(crate) fn from_drop(statement: &Statement) -> Result<Option<Definition>, ParserError> {
    let Statement::Drop {
        object_type: object_type @ (ObjectType::Table | ObjectType::View),
        if_exists,
        names,
        ..
    } = statement
    else {
        return Ok(None);
    };
    let names = names.iter().map(|name| table_reference(name.clone()));
    Ok(Some(Definition::Drop {
        view: *object_type == ObjectType::View,
        names: names.collect::<Result<_, _>>()?,
        if_exists: *if_exists,
    }))
}
