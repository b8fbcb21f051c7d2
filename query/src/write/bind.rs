//! Parameter values put into a writing statement.
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use catalog::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, SetExpr, Statement, UnaryOperator, Value, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};

use super::Write;
use crate::error::stream_error;
use crate::sql;

/// The most rows of parameters for a statement that rewrites files for each.
const MOST_ROWS: usize = 100;

impl Write {
    /// The statements to run for `rows` of parameter values: one, or one for each row.
    ///
    /// # Errors
    /// `InvalidInput` for a wrong number of values, `Unsupported` for types SQL has no
    /// value of.
    pub(crate) fn bind(&self, rows: &[Vec<ScalarValue>]) -> Result<Vec<Write>> {
        let wanted = self.placeholders();
        if rows.is_empty() {
            check(wanted, 0)?;
            return Ok(vec![self.clone()]);
        }
        for row in rows {
            check(wanted, row.len())?;
        }
        if let Some(whole) = self.bind_values(rows)? {
            return Ok(vec![whole]);
        }
        let inserts =
            matches!(self, Write::Rows(it) if matches!(it.as_ref(), Statement::Insert(_)));
        if !inserts && rows.len() > MOST_ROWS {
            return Err(Error::invalid(format!(
                "{} takes at most {MOST_ROWS} rows of parameters, not {}: each changes files anew",
                self.verb(),
                rows.len()
            ))
            .with_hint("load the rows into a table of their own, and MERGE from that"));
        }
        rows.iter().map(|row| self.bind_row(row)).collect()
    }

    /// How many parameters the statement has.
    pub(crate) fn placeholders(&self) -> usize {
        let mut highest = Highest(0);
        let ControlFlow::Continue(()) = match self {
            Write::Rows(statement) => Visit::visit(statement.as_ref(), &mut highest),
            Write::Define(definition) => match definition.query() {
                Some(query) => Visit::visit(query, &mut highest),
                None => ControlFlow::Continue(()),
            },
            Write::Load(_) => ControlFlow::Continue(()),
        };
        highest.0
    }

    fn bind_row(&self, row: &[ScalarValue]) -> Result<Write> {
        let mut bound = self.clone();
        let mut values = Values(row);
        let flow = match &mut bound {
            Write::Rows(statement) => VisitMut::visit(statement.as_mut(), &mut values),
            Write::Define(definition) => match definition.query_mut() {
                Some(query) => VisitMut::visit(query, &mut values),
                None => ControlFlow::Continue(()),
            },
            Write::Load(_) => ControlFlow::Continue(()),
        };
        match flow {
            ControlFlow::Continue(()) => Ok(bound),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// `INSERT ... VALUES (?, ...)` with many rows of values is one INSERT of all of them,
    /// and so one file.
    fn bind_values(&self, rows: &[Vec<ScalarValue>]) -> Result<Option<Write>> {
        let Write::Rows(statement) = self else {
            return Ok(None);
        };
        let Some([template]) = inserted_values(statement) else {
            return Ok(None);
        };
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let mut bound = template.clone();
            if let ControlFlow::Break(error) = VisitMut::visit(&mut bound, &mut Values(row)) {
                return Err(error);
            }
            all.push(bound);
        }
        let mut whole = statement.clone();
        if let Statement::Insert(insert) = whole.as_mut()
            && let Some(source) = &mut insert.source
            && let SetExpr::Values(values) = source.body.as_mut()
        {
            values.rows = all;
        }
        Ok(Some(Write::Rows(whole)))
    }
}

fn inserted_values(statement: &Statement) -> Option<&[Vec<Expr>]> {
    let Statement::Insert(insert) = statement else {
        return None;
    };
    match insert.source.as_ref()?.body.as_ref() {
        SetExpr::Values(values) => Some(&values.rows),
        _ => None,
    }
}

fn check(wanted: usize, given: usize) -> Result<()> {
    if wanted == given {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the statement takes {wanted} parameter(s), {given} given"
    )))
}

/// The highest number of a placeholder.
struct Highest(usize);

impl Visitor for Highest {
    type Break = std::convert::Infallible;

    fn pre_visit_value(&mut self, value: &Value) -> ControlFlow<Self::Break> {
        if let Some(number) = placeholder(value) {
            self.0 = self.0.max(number);
        }
        ControlFlow::Continue(())
    }
}

fn placeholder(value: &Value) -> Option<usize> {
    match value {
        Value::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
        _ => None,
    }
}

/// Puts `$1`, `$2`, ... as values.
struct Values<'a>(&'a [ScalarValue]);

impl VisitorMut for Values<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Value(ValueWithSpan { value, .. }) = expr else {
            return ControlFlow::Continue(());
        };
        let Value::Placeholder(name) = &*value else {
            return ControlFlow::Continue(());
        };
        let Some(scalar) = placeholder(value).and_then(|n| self.0.get(n.wrapping_sub(1))) else {
            return ControlFlow::Break(
                Error::invalid(format!("parameter {name} has no value"))
                    .with_hint("number parameters $1, $2, ... without gaps, or use ?"),
            );
        };
        match literal(scalar) {
            Ok(value) => {
                *expr = value;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// `scalar` as SQL.
fn literal(scalar: &ScalarValue) -> Result<Expr> {
    if scalar.is_null() {
        return Ok(Expr::value(Value::Null));
    }
    let data_type = scalar.data_type();
    if let DataType::Dictionary(_, values) = &data_type {
        return literal(&scalar.cast_to(values).map_err(stream_error)?);
    }
    let bytes = match scalar {
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes))
        | ScalarValue::FixedSizeBinary(_, Some(bytes)) => Some(bytes),
        _ => None,
    };
    if let Some(bytes) = bytes {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return Ok(Expr::value(Value::HexStringLiteral(digits)));
    }
    if data_type.is_nested() {
        return Err(Error::unsupported(format!(
            "a parameter of type {data_type} cannot be used in a writing statement"
        )));
    }
    let text = scalar.cast_to(&DataType::Utf8).map_err(stream_error)?;
    let text = text.try_as_str().flatten().unwrap_or_default().to_owned();
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(Expr::value(Value::SingleQuotedString(text)))
        }
        DataType::Boolean => Ok(Expr::value(Value::Boolean(text == "true"))),
        // As SQL has it, a number has no sign: the planner takes -(-5) for a number "--5".
        other if other.is_integer() => Ok(match text.strip_prefix('-') {
            Some(digits) => Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: Box::new(Expr::value(Value::Number(digits.to_owned(), false))),
            },
            None => Expr::value(Value::Number(text, false)),
        }),
        other => sql::expression(&format!(
            "arrow_cast('{text}', '{}')",
            other.to_string().replace('\'', "''")
        )),
    }
}
