//! Reading words, names and literals off the tokens.
use std::collections::BTreeMap;

use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token};

/// Whether the next tokens are `words`, unquoted, in any case.
pub(super) fn at(parser: &Parser<'_>, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(n, word)| {
        matches!(&parser.peek_nth_token_ref(n).token, Token::Word(found)
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    })
}

/// Consumes `words` where they are next.
pub(super) fn eat(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let there = at(parser, words);
    if there {
        for _ in words {
            parser.next_token();
        }
    }
    there
}

/// Consumes `words`, which must be next.
pub(super) fn expect(parser: &mut Parser<'_>, words: &[&str]) -> Result<(), ParserError> {
    match eat(parser, words) {
        true => Ok(()),
        false => parser.expected(&words.join(" "), parser.peek_token()),
    }
}

/// A name of one part: unquoted in lower case, quoted as it stands.
pub(super) fn name(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    Ok(normal(parser.parse_identifier()?))
}

/// A ref: a name, or a text in single quotes.
pub(super) fn reference(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    match parser.peek_token().token {
        Token::SingleQuotedString(_) => text(parser),
        _ => name(parser),
    }
}

/// A name of one to three parts.
pub(super) fn table(parser: &mut Parser<'_>) -> Result<TableReference, ParserError> {
    table_reference(parser.parse_object_name(false)?)
}

/// `name` as a reference: unquoted parts in lower case.
pub(super) fn table_reference(name: ObjectName) -> Result<TableReference, ParserError> {
    object_name_to_table_reference(name, true)
        .map_err(|error| ParserError::ParserError(error.strip_backtrace()))
}

/// A text in single quotes, or a number.
pub(super) fn argument(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) => Ok(text),
        Token::Number(digits, _) => Ok(digits),
        _ => parser.expected("a text or a number", token),
    }
}

/// A text in single quotes.
pub(super) fn text(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) => Ok(text),
        _ => parser.expected("a text in single quotes", token),
    }
}

/// `('key' = 'value', ...)`; keys may be names, values numbers or words.
pub(super) fn properties(parser: &mut Parser<'_>) -> Result<BTreeMap<String, String>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let pairs = parser.parse_comma_separated(|parser| {
        let key = property_key(parser)?;
        parser.expect_token(&Token::Eq)?;
        let token = parser.next_token();
        let value = match token.token {
            Token::SingleQuotedString(text) => text,
            Token::Number(digits, _) => digits,
            Token::Word(word) => word.value,
            _ => return parser.expected("a value", token),
        };
        Ok((key, value))
    })?;
    parser.expect_token(&Token::RParen)?;
    Ok(pairs.into_iter().collect())
}

/// The key of a property: a text, or words joined by points or dashes.
pub(super) fn property_key(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    if let Token::SingleQuotedString(_) = parser.peek_token().token {
        return text(parser);
    }
    let mut key = parser.parse_identifier()?.value;
    loop {
        let joint = match parser.peek_token().token {
            Token::Period => '.',
            Token::Minus => '-',
            _ => return Ok(key),
        };
        parser.next_token();
        key.push(joint);
        key.push_str(&parser.parse_identifier()?.value);
    }
}

/// Where the character at `location` begins in `text`, in bytes; its end for a place beyond.
pub(crate) fn position(text: &str, location: Location) -> usize {
    let (mut line, mut column) = (1, 1);
    for (position, character) in text.char_indices() {
        if (line, column) == (location.line, location.column) {
            return position;
        }
        match character {
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    text.len()
}

/// An identifier as names are compared: unquoted in lower case.
pub(super) fn normal(ident: Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value,
        None => ident.value.to_lowercase(),
    }
}
