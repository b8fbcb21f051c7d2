//! Functions that are made anew for each statement, because what they do depends on the states
//! the statement is pinned to: a crate above this one gives them.
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Result, Snapshot};
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Value, Visit,
    Visitor,
};

use crate::Engine;
use crate::catalogs::PinnedRefs;
use crate::error::{into_datafusion, stream_error};
use crate::scope::Scope;

/// A scalar function whose first argument is a text literal that names something in the lake,
/// such as a model.
#[async_trait]
pub trait LakeFunction: Send + Sync {
    /// What it is called by, in lower case.
    fn name(&self) -> &str;

    /// The function as one statement calls it: `literals` are the first arguments of its calls
    /// there, as far as they are literals.
    ///
    /// # Errors
    /// Why the statement cannot be planned, such as `NotFound` for a name.
    async fn bind(&self, literals: &BTreeSet<String>, states: &States<'_>) -> Result<ScalarUDF>;
}

/// The states of refs that a statement reads.
pub struct States<'a> {
    engine: &'a Engine,
    refs: &'a PinnedRefs,
    scope: &'a Scope,
}

impl States<'_> {
    /// The ref of names without one.
    pub fn default_ref(&self) -> &str {
        &self.scope.default_ref
    }

    /// What `reference` is pinned to; a ref that the statement does not read otherwise is read
    /// now.
    ///
    /// # Errors
    /// `NotFound` for a ref that is not there.
    pub async fn snapshot(&self, reference: &str) -> Result<Snapshot> {
        let working = self.scope.working.get(reference);
        match working.or_else(|| self.refs.snapshot(reference)) {
            Some(pinned) => Ok(pinned.clone()),
            None => self.engine.lake().catalog().resolve(reference).await,
        }
    }
}

/// An error as a function gives it, so that [`crate::stream_error`] brings it back whole.
pub fn function_error(error: catalog::Error) -> DataFusionError {
    into_datafusion(error)
}

impl Engine {
    /// A session that plans `statement`, with the functions it calls.
    pub(crate) async fn planner(
        &self,
        statement: &Statement,
        refs: PinnedRefs,
        scope: &Scope,
    ) -> Result<SessionState> {
        let mut made = Vec::new();
        for function in self.lake_functions() {
            let Some(literals) = calls(statement, function.name()) else {
                continue;
            };
            let states = States {
                engine: self,
                refs: &refs,
                scope,
            };
            made.push(function.bind(&literals, &states).await?);
        }
        let mut state = self.state(refs, scope);
        for function in made {
            state
                .register_udf(Arc::new(function))
                .map_err(stream_error)?;
        }
        Ok(state)
    }
}

/// The literals that calls of `name` in `statement` begin with; `None` where it is not called.
fn calls(statement: &Statement, name: &str) -> Option<BTreeSet<String>> {
    let mut calls = Calls { name, found: None };
    visit(statement, &mut calls);
    calls.found
}

fn visit(statement: &Statement, calls: &mut Calls<'_>) {
    match statement {
        Statement::Statement(inner) => {
            let ControlFlow::Continue(()) = Visit::visit(inner.as_ref(), calls);
        }
        Statement::Explain(explain) => visit(&explain.statement, calls),
        _ => {}
    }
}

struct Calls<'a> {
    name: &'a str,
    found: Option<BTreeSet<String>>,
}

impl Visitor for Calls<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        if let Expr::Function(function) = expr
            && is_called(function, self.name)
        {
            let literals = self.found.get_or_insert_default();
            literals.extend(first_literal(function));
        }
        ControlFlow::Continue(())
    }
}

fn is_called(function: &Function, name: &str) -> bool {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(only)] => match only.quote_style {
            Some(_) => only.value == name,
            None => only.value.eq_ignore_ascii_case(name),
        },
        _ => false,
    }
}

fn first_literal(function: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = list.args.first()? else {
        return None;
    };
    match &value.value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::sql::{Parsed, parse};

    fn found(sql: &str) -> Option<Vec<String>> {
        let state = SessionContext::new().state();
        let Parsed::Query(statement) = parse(&state, sql).unwrap() else {
            panic!("{sql} reads nothing");
        };
        calls(&statement, "predict").map(|literals| literals.into_iter().collect())
    }

    #[test]
    fn calls_are_found_wherever_they_stand() {
        for sql in [
            "select predict('ml.a', x) from t",
            "select 1 from t where PREDICT('ml.a', x)['score'] > 0.5",
            "explain select predict('ml.a', x) from t",
            "select * from (select predict('ml.a', x) p from t) group by p",
            "with c as (select predict('ml.a', 1)) select * from c",
            "select count(*) from t join u on predict('ml.a', t.x) = u.y",
            "select sum(predict('ml.a', x)['prediction']) over (order by y) from t",
        ] {
            assert_eq!(found(sql).unwrap(), ["ml.a"], "{sql}");
        }
        let two = "select predict('ml.a', predict('ml.b@exp', x)) from t";
        assert_eq!(found(two).unwrap(), ["ml.a", "ml.b@exp"]);
    }

    #[test]
    fn what_is_no_literal_is_left_to_the_function() {
        assert_eq!(found("select predict($1, x) from t"), Some(Vec::new()));
        assert_eq!(found("select predict() from t"), Some(Vec::new()));
        assert_eq!(found("select 'predict', predict from t"), None);
        assert_eq!(found("select other.predict('ml.a') from t"), None);
    }
}
