//! Statements of refs and of the session: branches, tags, merges, the log, procedures.
use catalog::{RefKind, Side};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::words::{argument, at, eat, name, reference};

/// A statement that changes no table by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `CREATE BRANCH|TAG [IF NOT EXISTS] name [FROM|AT ref]`
    CreateRef {
        kind: RefKind,
        name: String,
        if_not_exists: bool,
        from: Option<String>,
    },
    /// `DROP BRANCH|TAG [IF EXISTS] name`
    DropRef {
        kind: RefKind,
        name: String,
        if_exists: bool,
    },
    /// `MERGE BRANCH source [INTO target] [ON CONFLICT OURS|THEIRS] [DRY RUN]`
    Merge {
        source: String,
        target: Option<String>,
        on_conflict: Option<Side>,
        dry_run: bool,
    },
    /// `USE [BRANCH|TAG] ref`
    Use(String),
    /// `USE SCHEMA|NAMESPACE name`
    UseNamespace(String),
    /// `SHOW BRANCHES`, `SHOW TAGS`
    ShowRefs(RefKind),
    /// `SHOW LOG [FOR ref] [LIMIT n]`
    ShowLog {
        reference: Option<String>,
        limit: Option<u64>,
    },
    /// `CALL procedure(...)`
    Call(Call),
}

/// A procedure with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `revert('commit' [, 'branch'])`
    Revert {
        commit: String,
        branch: Option<String>,
    },
    /// `cherry_pick('commit' [, 'branch'])`
    CherryPick {
        commit: String,
        branch: Option<String>,
    },
}

pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<Command>, ParserError> {
    for (word, kind) in [("branch", RefKind::Branch), ("tag", RefKind::Tag)] {
        if eat(parser, &["create", word]) {
            return create_ref(parser, kind).map(Some);
        }
        if eat(parser, &["drop", word]) {
            let if_exists = eat(parser, &["if", "exists"]);
            let name = reference(parser)?;
            return Ok(Some(Command::DropRef {
                kind,
                name,
                if_exists,
            }));
        }
    }
    if eat(parser, &["merge", "branch"]) {
        return merge(parser).map(Some);
    }
    if eat(parser, &["show", "branches"]) {
        return Ok(Some(Command::ShowRefs(RefKind::Branch)));
    }
    if eat(parser, &["show", "tags"]) {
        return Ok(Some(Command::ShowRefs(RefKind::Tag)));
    }
    if eat(parser, &["show", "log"]) {
        return show_log(parser).map(Some);
    }
    if eat(parser, &["use"]) {
        return use_(parser).map(Some);
    }
    if !at(parser, &["call", "rollback"]) && eat(parser, &["call"]) {
        return call(parser).map(|call| Some(Command::Call(call)));
    }
    Ok(None)
}

fn create_ref(parser: &mut Parser<'_>, kind: RefKind) -> Result<Command, ParserError> {
    let if_not_exists = eat(parser, &["if", "not", "exists"]);
    let name = reference(parser)?;
    let from = match eat(parser, &["from"]) || eat(parser, &["at"]) {
        true => Some(reference(parser)?),
        false => None,
    };
    Ok(Command::CreateRef {
        kind,
        name,
        if_not_exists,
        from,
    })
}

fn merge(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    let source = reference(parser)?;
    let target = match eat(parser, &["into"]) {
        true => Some(reference(parser)?),
        false => None,
    };
    let on_conflict = match eat(parser, &["on", "conflict"]) {
        true if eat(parser, &["ours"]) => Some(Side::Ours),
        true if eat(parser, &["theirs"]) => Some(Side::Theirs),
        true => return parser.expected("OURS or THEIRS", parser.peek_token()),
        false => None,
    };
    Ok(Command::Merge {
        source,
        target,
        on_conflict,
        dry_run: eat(parser, &["dry", "run"]),
    })
}

fn show_log(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    let reference = match eat(parser, &["for"]) {
        true => Some(reference(parser)?),
        false => None,
    };
    let limit = match eat(parser, &["limit"]) {
        true => Some(parser.parse_literal_uint()?),
        false => None,
    };
    Ok(Command::ShowLog { reference, limit })
}

fn use_(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    // A branch may be called schema: the word names a kind only where a name follows.
    let more = parser.peek_nth_token_ref(1).token != Token::EOF
        && parser.peek_nth_token_ref(1).token != Token::SemiColon;
    if more && (eat(parser, &["schema"]) || eat(parser, &["namespace"])) {
        return Ok(Command::UseNamespace(name(parser)?));
    }
    if more && (at(parser, &["branch"]) || at(parser, &["tag"])) {
        parser.next_token();
    }
    Ok(Command::Use(reference(parser)?))
}

fn call(parser: &mut Parser<'_>) -> Result<Call, ParserError> {
    let token = parser.peek_token();
    let procedure = name(parser)?;
    parser.expect_token(&Token::LParen)?;
    let call = match procedure.as_str() {
        "revert" => {
            let (commit, branch) = commit_and_branch(parser)?;
            Call::Revert { commit, branch }
        }
        "cherry_pick" => {
            let (commit, branch) = commit_and_branch(parser)?;
            Call::CherryPick { commit, branch }
        }
        _ => return parser.expected("rollback, revert or cherry_pick", token),
    };
    parser.expect_token(&Token::RParen)?;
    Ok(call)
}

fn commit_and_branch(parser: &mut Parser<'_>) -> Result<(String, Option<String>), ParserError> {
    let commit = argument(parser)?;
    let branch = match parser.consume_token(&Token::Comma) {
        true => Some(argument(parser)?),
        false => None,
    };
    Ok((commit, branch))
}
