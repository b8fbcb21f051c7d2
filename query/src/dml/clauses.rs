//! What a MERGE asks for: its source, how rows match, and the WHEN clauses.
use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    Assignment, Expr, Merge, MergeAction, MergeClause, MergeClauseKind, MergeInsertExpr,
    TableFactor,
};

use super::sql::has_subquery;

/// Rows of a source and what they do to the rows of a target.
pub(super) struct Changes {
    pub(super) source: TableFactor,
    pub(super) on: Expr,
    pub(super) clauses: Vec<Clause>,
}

/// One WHEN.
pub(super) struct Clause {
    /// The pairs or rows it is for.
    pub(super) kind: Kind,
    pub(super) condition: Option<Expr>,
    pub(super) action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A target row and a source row that match.
    Matched,
    /// A source row without a target row.
    SourceOnly,
    /// A target row without a source row.
    TargetOnly,
}

pub(super) enum Action {
    Update(Vec<Assignment>),
    Delete,
    Insert(Box<MergeInsertExpr>),
}

impl Changes {
    /// Those of `statement`.
    ///
    /// # Errors
    /// `InvalidInput` or `Unsupported` for a WHEN that cannot be.
    pub(super) fn of(statement: &Merge) -> Result<Self> {
        if statement.output.is_some() {
            return Err(Error::unsupported("OUTPUT is not supported in MERGE"));
        }
        let clauses = statement.clauses.iter().map(Clause::new);
        Ok(Changes {
            source: statement.source.clone(),
            on: statement.on.as_ref().clone(),
            clauses: clauses.collect::<Result<_>>()?,
        })
    }

    /// `UPDATE .. SET assignments FROM source WHERE on`.
    pub(super) fn update(source: TableFactor, on: Expr, assignments: &[Assignment]) -> Self {
        let clause = Clause {
            kind: Kind::Matched,
            condition: None,
            action: Action::Update(assignments.to_vec()),
        };
        Changes {
            source,
            on,
            clauses: vec![clause],
        }
    }
}

impl Clause {
    fn new(clause: &MergeClause) -> Result<Clause> {
        let kind = match clause.clause_kind {
            MergeClauseKind::Matched => Kind::Matched,
            MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Kind::SourceOnly,
            MergeClauseKind::NotMatchedBySource => Kind::TargetOnly,
        };
        let condition = clause.predicate.as_ref();
        let action = match &clause.action {
            MergeAction::Insert(insert) if insert.insert_predicate.is_none() => {
                Action::Insert(Box::new(insert.clone()))
            }
            MergeAction::Update(update)
                if update.update_predicate.is_none() && update.delete_predicate.is_none() =>
            {
                Action::Update(update.assignments.clone())
            }
            MergeAction::Delete { .. } => Action::Delete,
            _ => return Err(Error::unsupported("WHERE is not supported in WHEN")),
        };
        if (kind == Kind::SourceOnly) != matches!(action, Action::Insert(_)) {
            return Err(Error::invalid(
                "a WHEN of MERGE has an action it cannot have",
            ));
        }
        if condition.is_some_and(has_subquery) {
            return Err(
                Error::unsupported("subqueries are not supported in a WHEN condition")
                    .with_hint("let the source compute what the condition needs"),
            );
        }
        Ok(Clause {
            kind,
            condition: condition.cloned(),
            action,
        })
    }
}
