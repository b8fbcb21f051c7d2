//! What a statement does to the rows of a table: DELETE, UPDATE and MERGE in one form.
use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    Assignment, Expr, JoinConstraint, JoinOperator, Merge, MergeAction, MergeClause,
    MergeClauseKind, MergeInsertExpr, TableFactor,
};

use super::sql::has_subquery;

/// The most WHEN clauses of one MERGE.
const MOST_CLAUSES: usize = 50;

/// Rows of a target, or pairs of them with those of a source, and what becomes of them.
pub(super) struct Changes {
    /// The target, as the statement names it.
    pub(super) target: TableFactor,
    pub(super) source: Option<TableFactor>,
    /// How source and target match in a MERGE; without, every pair is a match.
    pub(super) on: Option<Expr>,
    /// Which rows or pairs there are at all.
    pub(super) condition: Option<Expr>,
    /// The first that a row or pair is for acts on it.
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
    /// A target row, with the source row that matches it where there is a source.
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
    /// Those of a MERGE.
    ///
    /// # Errors
    /// `InvalidInput` or `Unsupported` for a WHEN that cannot be.
    pub(super) fn merge(statement: &Merge) -> Result<Self> {
        if statement.output.is_some() {
            return Err(Error::unsupported("OUTPUT is not supported in MERGE"));
        }
        let given = statement.clauses.len();
        if given > MOST_CLAUSES {
            return Err(Error::invalid(format!(
                "a MERGE has at most {MOST_CLAUSES} WHEN clauses, not {given}"
            ))
            .with_hint("let the source compute what differs, with CASE"));
        }
        let clauses = statement.clauses.iter().map(Clause::new);
        Ok(Changes {
            target: statement.table.clone(),
            source: Some(statement.source.clone()),
            on: Some(statement.on.as_ref().clone()),
            condition: None,
            clauses: clauses.collect::<Result<_>>()?,
        })
    }

    /// `action` on the rows of `target` that `condition` holds for.
    pub(super) fn of_rows(target: TableFactor, condition: Option<Expr>, action: Action) -> Self {
        let clause = Clause {
            kind: Kind::Matched,
            condition: None,
            action,
        };
        Changes {
            target,
            source: None,
            on: None,
            condition,
            clauses: vec![clause],
        }
    }

    /// How the source is joined to the target, so that all rows the clauses are for come out.
    pub(super) fn join(&self) -> Option<(JoinOperator, TableFactor)> {
        let has = |kind| self.clauses.iter().any(|clause| clause.kind == kind);
        let source = self.source.clone()?;
        let Some(on) = self.on.clone() else {
            return Some((JoinOperator::CrossJoin(JoinConstraint::None), source));
        };
        let on = JoinConstraint::On(on);
        let operator = match (has(Kind::TargetOnly), has(Kind::SourceOnly)) {
            (false, false) => JoinOperator::Inner(on),
            (true, false) => JoinOperator::Left(on),
            (false, true) => JoinOperator::Right(on),
            (true, true) => JoinOperator::FullOuter(on),
        };
        Some((operator, source))
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
