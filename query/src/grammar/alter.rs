//! `ALTER TABLE` and partition transforms.
use std::collections::BTreeMap;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::DataType;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use lake::{PartitionField, Transform};

use super::words::{at, eat, expect, name, properties, property_key, table};

/// One change of a table; `ALTER TABLE` takes several, separated by commas.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// `ADD [COLUMN] [IF NOT EXISTS] name type`
    AddColumn {
        name: String,
        data_type: DataType,
        if_not_exists: bool,
    },
    /// `DROP [COLUMN] [IF EXISTS] name`
    DropColumn { name: String, if_exists: bool },
    /// `RENAME [COLUMN] a TO b`
    RenameColumn { from: String, to: String },
    /// `RENAME TO name`
    RenameTo(TableReference),
    /// `ALTER [COLUMN] name [SET DATA] TYPE type`
    Widen { name: String, data_type: DataType },
    /// `ALTER [COLUMN] name DROP NOT NULL`
    DropNotNull(String),
    /// `SET PARTITIONED BY (...)`: new files are partitioned so.
    SetPartition(Vec<PartitionField>),
    /// `ADD PARTITION FIELD transform`
    AddPartition(PartitionField),
    /// `DROP PARTITION FIELD transform`
    DropPartition(PartitionField),
    /// `SET TBLPROPERTIES (...)`
    SetProperties(BTreeMap<String, String>),
    /// `UNSET TBLPROPERTIES ('key', ...)`
    RemoveProperties(Vec<String>),
}

pub(super) fn changes(parser: &mut Parser<'_>) -> Result<Vec<Change>, ParserError> {
    parser.parse_comma_separated(change)
}

fn change(parser: &mut Parser<'_>) -> Result<Change, ParserError> {
    if eat(parser, &["add", "partition", "field"]) {
        return Ok(Change::AddPartition(partition_field(parser)?));
    }
    if eat(parser, &["drop", "partition", "field"]) {
        return Ok(Change::DropPartition(partition_field(parser)?));
    }
    if eat(parser, &["add"]) {
        return add_column(parser);
    }
    if eat(parser, &["drop"]) {
        eat(parser, &["column"]);
        let if_exists = eat(parser, &["if", "exists"]);
        let name = name(parser)?;
        return Ok(Change::DropColumn { name, if_exists });
    }
    if eat(parser, &["rename", "to"]) {
        return Ok(Change::RenameTo(table(parser)?));
    }
    if eat(parser, &["rename"]) {
        eat(parser, &["column"]);
        let from = name(parser)?;
        expect(parser, &["to"])?;
        let to = name(parser)?;
        return Ok(Change::RenameColumn { from, to });
    }
    if eat(parser, &["alter"]) {
        return alter_column(parser);
    }
    set(parser)
}

fn add_column(parser: &mut Parser<'_>) -> Result<Change, ParserError> {
    eat(parser, &["column"]);
    let if_not_exists = eat(parser, &["if", "not", "exists"]);
    let name = name(parser)?;
    let data_type = parser.parse_data_type()?;
    if at(parser, &["not", "null"]) {
        return Err(ParserError::ParserError(format!(
            "column {name} cannot be added NOT NULL: the rows that are there have no value for it"
        )));
    }
    eat(parser, &["null"]);
    Ok(Change::AddColumn {
        name,
        data_type,
        if_not_exists,
    })
}

fn alter_column(parser: &mut Parser<'_>) -> Result<Change, ParserError> {
    eat(parser, &["column"]);
    let name = name(parser)?;
    if eat(parser, &["drop", "not", "null"]) {
        return Ok(Change::DropNotNull(name));
    }
    eat(parser, &["set", "data"]);
    match eat(parser, &["type"]) {
        true => Ok(Change::Widen {
            name,
            data_type: parser.parse_data_type()?,
        }),
        false => parser.expected("TYPE or DROP NOT NULL", parser.peek_token()),
    }
}

fn set(parser: &mut Parser<'_>) -> Result<Change, ParserError> {
    if eat(parser, &["set", "partitioned", "by"]) {
        return Ok(Change::SetPartition(partition_fields(parser)?));
    }
    if eat(parser, &["set", "tblproperties"]) || eat(parser, &["set", "properties"]) {
        return Ok(Change::SetProperties(properties(parser)?));
    }
    if eat(parser, &["unset", "tblproperties"]) || eat(parser, &["unset", "properties"]) {
        parser.expect_token(&Token::LParen)?;
        let keys = parser.parse_comma_separated(property_key)?;
        parser.expect_token(&Token::RParen)?;
        return Ok(Change::RemoveProperties(keys));
    }
    parser.expected(
        "ADD, DROP, RENAME, ALTER COLUMN, SET PARTITIONED BY or SET TBLPROPERTIES",
        parser.peek_token(),
    )
}

/// `(transform, ...)`; `()` is no partition.
pub(super) fn partition_fields(
    parser: &mut Parser<'_>,
) -> Result<Vec<PartitionField>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    if parser.consume_token(&Token::RParen) {
        return Ok(Vec::new());
    }
    let fields = parser.parse_comma_separated(partition_field)?;
    parser.expect_token(&Token::RParen)?;
    Ok(fields)
}

/// A column, or a transform of one: `day(ts)`, `bucket(16, pump)`.
fn partition_field(parser: &mut Parser<'_>) -> Result<PartitionField, ParserError> {
    let token = parser.peek_token();
    let first = name(parser)?;
    if !parser.consume_token(&Token::LParen) {
        return Ok(PartitionField {
            column: first,
            transform: Transform::Identity,
        });
    }
    let (mut column, mut number) = (None, None);
    loop {
        match parser.peek_token().token {
            Token::Number(..) => number = Some(parser.parse_literal_uint()?),
            _ => column = Some(name(parser)?),
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    let number = number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let transform = match (first.as_str(), number) {
        ("identity", None) => Transform::Identity,
        ("year" | "years", None) => Transform::Year,
        ("month" | "months", None) => Transform::Month,
        ("day" | "days" | "date", None) => Transform::Day,
        ("hour" | "hours", None) => Transform::Hour,
        ("void", None) => Transform::Void,
        ("bucket", Some(count)) => Transform::Bucket(count),
        ("truncate", Some(width)) => Transform::Truncate(width),
        _ => return parser.expected(
            "a partition transform: identity(c), year(c), month(c), day(c), hour(c), bucket(n, c), truncate(n, c) or void(c)",
            token,
        ),
    };
    match column {
        Some(column) => Ok(PartitionField { column, transform }),
        None => parser.expected("the column of a partition transform", token),
    }
}
