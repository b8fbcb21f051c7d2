//! The statements Pumphouse adds to SQL, or that DataFusion's grammar lacks: branches and
//! tags, tables and their partitions, procedures. Read from the same tokens as the rest.
mod alter;
mod command;
mod definition;
mod words;

use datafusion::sql::sqlparser::parser::{Parser, ParserError};

pub(crate) use alter::Change;
pub(crate) use command::{Call, Command};
pub(crate) use definition::{ColumnSpec, CreateTable, CreateView, Definition, from_drop};
pub(crate) use words::position;

/// A statement of this grammar.
pub(crate) enum Own {
    /// Of refs and of the session.
    Command(Command),
    /// Of tables, views and namespaces.
    Definition(Box<Definition>),
}

/// Reads a statement of this grammar from the tokens of `sql`; `None`, with nothing consumed, when the next words
/// begin another.
///
/// # Errors
/// For a statement that begins like one of these and goes on otherwise.
pub(crate) fn parse(parser: &mut Parser<'_>, sql: &str) -> Result<Option<Own>, ParserError> {
    if let Some(command) = command::parse(parser)? {
        return Ok(Some(Own::Command(command)));
    }
    let definition = definition::parse(parser, sql)?;
    Ok(definition.map(|definition| Own::Definition(Box::new(definition))))
}
