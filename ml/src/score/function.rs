//! `predict('model', feature, ...)` in SQL.
//!
//! The models a statement names are found and loaded before it is planned, at the commits it
//! is pinned to, so that one statement sees one model whatever is merged meanwhile. What is
//! wrong with a call is an error of planning, as far as types can tell.
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use async_trait::async_trait;
use catalog::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use lake::Lake;
use query::{LakeFunction, States, function_error};

use super::answers;
use super::groups;
use super::recent::Recent;
use super::samples::{self, Samples};
use crate::answer;
use crate::manifest::Manifest;
use crate::registry::{self, LoadedModel};

const NAME: &str = "predict";
const HOW: &str = "write predict('ml.name', column, ...), or predict('ml.name@ref', ...) for the model of another ref";

/// The SQL function `predict`, for [`query::Engine::with_functions`].
#[derive(Clone)]
pub struct PredictFunction {
    lake: Lake,
}

impl PredictFunction {
    /// Of the models in `lake`.
    pub fn new(lake: Lake) -> Self {
        PredictFunction { lake }
    }
}

#[async_trait]
impl LakeFunction for PredictFunction {
    fn name(&self) -> &str {
        NAME
    }

    async fn bind(&self, literals: &BTreeSet<String>, states: &States<'_>) -> Result<ScalarUDF> {
        let mut models = BTreeMap::new();
        for literal in literals {
            let (name, reference) = match literal.split_once('@') {
                Some((name, reference)) => (name, reference),
                None => (literal.as_str(), states.default_ref()),
            };
            let snapshot = states.snapshot(reference).await?;
            let model = registry::load_at(&self.lake, name, reference, &snapshot).await?;
            models.insert(literal.clone(), model);
        }
        Ok(ScalarUDF::new_from_impl(Predict {
            models,
            recent: Recent::default(),
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    }
}

/// The function of one statement.
#[derive(Debug)]
struct Predict {
    /// By the literal that names them.
    models: BTreeMap<String, Arc<LoadedModel>>,
    recent: Recent,
    signature: Signature,
}

impl Predict {
    fn identity(&self) -> impl Iterator<Item = (&str, &str)> {
        let models = self.models.iter();
        models.map(|(literal, model)| (literal.as_str(), model.location()))
    }

    /// The model that a call names by its first argument.
    fn model(&self, literal: Option<&ScalarValue>) -> Result<&Arc<LoadedModel>> {
        let text = match literal {
            Some(ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text)) => text.as_deref(),
            Some(ScalarValue::Utf8View(text)) => text.as_deref(),
            _ => None,
        };
        text.and_then(|text| self.models.get(text)).ok_or_else(|| {
            Error::invalid("the first argument of predict must be a model's name in quotes")
                .with_hint(HOW)
        })
    }

    fn answer_type(&self, args: &ReturnFieldArgs<'_>) -> Result<DataType> {
        let model = self.model(args.scalar_arguments.first().copied().flatten())?;
        let types: Vec<&DataType> = args.arg_fields[1..].iter().map(|f| f.data_type()).collect();
        check(&model.manifest, &types)?;
        Ok(DataType::Struct(answer_fields(&model.manifest)))
    }

    fn run(&self, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
        let model = match args.args.first() {
            Some(ColumnarValue::Scalar(literal)) => self.model(Some(literal))?,
            _ => self.model(None)?,
        };
        let rows = args.number_rows;
        let given = args.args[1..].iter().map(|arg| arg.to_array(rows));
        let given = given.collect::<DfResult<Vec<_>>>();
        let given = given.map_err(query::stream_error)?;
        if let Some(known) = self.recent.get(model.location(), &given) {
            return Ok(known);
        }
        let (columns, valid) = by_position(&model.manifest, &given)?;
        let signature = &model.manifest.signature;
        let samples = samples::of_columns(signature, &columns, rows, valid.as_ref())?;
        let groups = match args.args.get(1).map(ColumnarValue::data_type) {
            Some(DataType::Struct(_)) => groups::of_rows(&model.manifest, rows, |name| {
                let row = given.first()?.as_any().downcast_ref::<StructArray>()?;
                row.column_by_name(name).cloned()
            }),
            _ => Vec::new(),
        };
        let answers = answers(model, samples, rows, groups)?;
        self.recent.put(model.location(), given, &answers);
        Ok(answers)
    }
}

/// What the model answers to `samples`, as a struct for each of `rows` rows: null where a row
/// has no sample.
fn answers(
    model: &LoadedModel,
    samples: Samples,
    rows: usize,
    groups: Vec<String>,
) -> Result<ArrayRef> {
    let fields = answer_fields(&model.manifest);
    let nulls = samples.rows.as_ref().map(|of_rows| {
        let mut valid = vec![false; rows];
        of_rows.iter().for_each(|row| valid[*row] = true);
        NullBuffer::from(valid)
    });
    let columns = answers::columns(model, samples, rows, groups)?;
    let answers = StructArray::try_new(fields, columns, nulls)
        .map_err(|e| Error::internal("answers do not fit their rows").with_source(e))?;
    Ok(Arc::new(answers))
}

/// The columns of an answer, each of which may be null with the whole.
fn answer_fields(manifest: &Manifest) -> Fields {
    let fields = answer::fields(manifest).into_iter();
    fields.map(|field| field.with_nullable(true)).collect()
}

/// Whether the features are given as one struct with their names.
fn named<'a>(types: &[&'a DataType]) -> Option<&'a Fields> {
    match types {
        [DataType::Struct(fields)] => Some(fields),
        _ => None,
    }
}

fn check(manifest: &Manifest, types: &[&DataType]) -> Result<()> {
    let features = &manifest.signature.features;
    let reads = || {
        let names: Vec<&str> = features.iter().map(|f| f.name.as_str()).collect();
        format!("it reads {}", names.join(", "))
    };
    if let Some(fields) = named(types) {
        for feature in features {
            let Some((_, field)) = fields.find(&feature.name) else {
                return Err(Error::invalid(format!(
                    "model {} reads '{}', which the struct does not have",
                    manifest.model, feature.name
                ))
                .with_hint(reads()));
            };
            samples::check_type(manifest, &feature.name, field.data_type())?;
        }
        return Ok(());
    }
    if types.len() != features.len() {
        return Err(Error::invalid(format!(
            "model {} reads {} feature(s), and predict is given {}",
            manifest.model,
            features.len(),
            types.len()
        ))
        .with_hint(format!(
            "{}, in this order; or give named_struct('name', value, ...)",
            reads()
        )));
    }
    for (feature, data_type) in features.iter().zip(types) {
        samples::check_type(manifest, &feature.name, data_type)?;
    }
    Ok(())
}

/// The features in the order of the signature, and which rows have any.
fn by_position(
    manifest: &Manifest,
    columns: &[ArrayRef],
) -> Result<(Vec<ArrayRef>, Option<NullBuffer>)> {
    let types: Vec<&DataType> = columns.iter().map(|c| c.data_type()).collect();
    check(manifest, &types)?;
    if named(&types).is_none() {
        return Ok((columns.to_vec(), None));
    }
    let given = columns[0].as_any().downcast_ref::<StructArray>();
    let given = given.ok_or_else(|| Error::internal("a struct is no struct"))?;
    let features = manifest.signature.features.iter();
    let columns = features.filter_map(|f| given.column_by_name(&f.name).cloned());
    Ok((columns.collect(), given.nulls().cloned()))
}

impl ScalarUDFImpl for Predict {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        let error = Error::internal("predict is planned without its model");
        Err(function_error(error))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let answers = self.answer_type(&args).map_err(function_error)?;
        Ok(Arc::new(Field::new(NAME, answers, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let answers = self.run(&args).map_err(function_error)?;
        Ok(ColumnarValue::Array(answers))
    }
}

impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        self.identity().eq(other.identity())
    }
}

impl Eq for Predict {}

impl Hash for Predict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for model in self.identity() {
            model.hash(state);
        }
    }
}
