//! The values of metrics by their datatype (Sparkplug B 3.0, chapter 6.4.16).

use bytes::Bytes;
use prost::Message as _;

use super::proto::{DataSet, DataSetElement, Metric, MetricValue, ParameterValue, Template};
use crate::decode::kind::Kind;
use crate::decode::value::Value;

/// What the arrays of one message may hold together, in elements, and its data sets and templates
/// in bytes: a small compressed payload may stand for many.
const MOST_ELEMENTS: usize = 1_000_000;
/// Templates in templates.
const MOST_NESTED: usize = 32;

/// The room that is left in one message.
pub(super) struct Room {
    elements: usize,
    nested: usize,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            elements: MOST_ELEMENTS,
            nested: MOST_NESTED,
        }
    }

    fn take(&mut self, elements: usize) -> Result<(), String> {
        let left = self.elements.checked_sub(elements);
        self.elements = left.ok_or("the arrays of the message have too many elements")?;
        Ok(())
    }
}

/// A datatype that columns can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
    /// Signed, of so many bits.
    Int(u32),
    /// Unsigned, of so many bits.
    UInt(u32),
    Float,
    Double,
    Boolean,
    /// String, Text and UUID.
    Text,
    DateTime,
    /// Bytes and File.
    Bytes,
    DataSet,
    Template,
    Array(Element),
}

/// What an array is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Int(usize),
    UInt(usize),
    Float,
    Double,
    Boolean,
    Text,
    DateTime,
}

impl Datatype {
    /// The datatype of that number.
    pub(super) fn of(number: u32) -> Result<Self, String> {
        Ok(match number {
            1 => Self::Int(8),
            2 => Self::Int(16),
            3 => Self::Int(32),
            4 => Self::Int(64),
            5 => Self::UInt(8),
            6 => Self::UInt(16),
            7 => Self::UInt(32),
            8 => Self::UInt(64),
            9 => Self::Float,
            10 => Self::Double,
            11 => Self::Boolean,
            12 | 14 | 15 => Self::Text,
            13 => Self::DateTime,
            16 => Self::DataSet,
            17 | 18 => Self::Bytes,
            19 => Self::Template,
            22 => Self::Array(Element::Int(1)),
            23 => Self::Array(Element::Int(2)),
            24 => Self::Array(Element::Int(4)),
            25 => Self::Array(Element::Int(8)),
            26 => Self::Array(Element::UInt(1)),
            27 => Self::Array(Element::UInt(2)),
            28 => Self::Array(Element::UInt(4)),
            29 => Self::Array(Element::UInt(8)),
            30 => Self::Array(Element::Float),
            31 => Self::Array(Element::Double),
            32 => Self::Array(Element::Boolean),
            33 => Self::Array(Element::Text),
            34 => Self::Array(Element::DateTime),
            _ => return Err(format!("datatype {number} makes no column")),
        })
    }

    /// The type of its column.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Int(64) | Self::UInt(32 | 64) => Kind::Long,
            Self::Int(_) | Self::UInt(_) => Kind::Int,
            Self::Float => Kind::Float,
            Self::Double => Kind::Double,
            Self::Boolean => Kind::Boolean,
            Self::Text | Self::DataSet | Self::Template => Kind::String,
            Self::DateTime => Kind::Timestamp,
            Self::Bytes => Kind::Binary,
            Self::Array(element) => Kind::list(match element {
                Element::Int(8) | Element::UInt(4 | 8) => Kind::Long,
                Element::Int(_) | Element::UInt(_) => Kind::Int,
                Element::Float => Kind::Float,
                Element::Double => Kind::Double,
                Element::Boolean => Kind::Boolean,
                Element::Text => Kind::String,
                Element::DateTime => Kind::Timestamp,
            }),
        }
    }
}

/// The value of a metric of that datatype.
///
/// # Errors
/// Why it has none, in words for a dead letter.
pub(super) fn value<'a>(
    metric: Metric,
    datatype: Datatype,
    room: &mut Room,
) -> Result<Value<'a>, String> {
    let Some(value) = metric.value.filter(|_| metric.is_null != Some(true)) else {
        return Ok(Value::Null);
    };
    match (datatype, value) {
        (Datatype::DataSet, MetricValue::DataSet(set)) => {
            Ok(Value::Text(data_set(&set, room)?.to_json().into()))
        }
        (Datatype::Template, MetricValue::Template(it)) => {
            Ok(Value::Text(template(&it, room)?.to_json().into()))
        }
        (Datatype::Bytes, MetricValue::Bytes(bytes)) => Ok(Value::Bytes(bytes.to_vec().into())),
        (Datatype::Array(element), MetricValue::Bytes(bytes)) => array(element, &bytes, room),
        (datatype, value) => scalar(datatype, raw(value).ok_or_else(|| misplaced(datatype))?),
    }
}

/// A plain value as the wire has it, whatever message it is part of.
enum Raw {
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Text(String),
}

fn raw(value: MetricValue) -> Option<Raw> {
    Some(match value {
        MetricValue::Int(v) => Raw::Int(v),
        MetricValue::Long(v) => Raw::Long(v),
        MetricValue::Float(v) => Raw::Float(v),
        MetricValue::Double(v) => Raw::Double(v),
        MetricValue::Boolean(v) => Raw::Boolean(v),
        MetricValue::Text(v) => Raw::Text(v),
        MetricValue::Bytes(_) | MetricValue::DataSet(_) | MetricValue::Template(_) => return None,
    })
}

fn misplaced(datatype: Datatype) -> String {
    format!("its value is none of datatype {datatype:?}")
}

fn scalar<'a>(datatype: Datatype, raw: Raw) -> Result<Value<'a>, String> {
    Ok(match (datatype, raw) {
        (Datatype::Int(bits), Raw::Int(v)) => Value::Int(signed(u64::from(v), bits, 32)?),
        (Datatype::Int(bits), Raw::Long(v)) => Value::Int(signed(v, bits, 64)?),
        (Datatype::UInt(bits), Raw::Int(v)) => unsigned(u64::from(v), bits)?,
        (Datatype::UInt(bits), Raw::Long(v)) => unsigned(v, bits)?,
        (Datatype::Float | Datatype::Double, Raw::Float(v)) => Value::Float(f64::from(v)),
        (Datatype::Float | Datatype::Double, Raw::Double(v)) => Value::Float(v),
        (Datatype::Boolean, Raw::Boolean(v)) => Value::Bool(v),
        (Datatype::Text, Raw::Text(v)) => Value::Text(v.into()),
        (Datatype::DateTime, Raw::Long(v)) => Value::Micros(micros(v)?),
        (datatype, _) => return Err(misplaced(datatype)),
    })
}

/// A signed integer out of the unsigned field of `width` bits that carries it: in two's complement
/// of its own size or of the field's.
fn signed(v: u64, bits: u32, width: u32) -> Result<i64, String> {
    let sign_extended = |bits: u32| ((v << (64 - bits)) as i64) >> (64 - bits);
    let own = match bits < 64 && v >> bits == 0 {
        true => sign_extended(bits),
        false => sign_extended(width),
    };
    let least = i64::MIN >> (64 - bits);
    match (least..=!least).contains(&own) {
        true => Ok(own),
        false => Err(format!("{own} is no integer of {bits} bits")),
    }
}

fn unsigned<'a>(v: u64, bits: u32) -> Result<Value<'a>, String> {
    if bits < 64 && v >> bits != 0 {
        return Err(format!("{v} is no unsigned integer of {bits} bits"));
    }
    Ok(i64::try_from(v).map_or(Value::UInt(v), Value::Int))
}

/// Microseconds since the epoch of so many milliseconds.
pub(super) fn micros(millis: u64) -> Result<i64, String> {
    let micros = i64::try_from(millis)
        .ok()
        .and_then(|ms| ms.checked_mul(1_000));
    micros.ok_or_else(|| format!("{millis} is no timestamp in milliseconds"))
}

/// The elements of an array, little endian one after the other; booleans are bits after their
/// count, strings end in a null byte.
fn array<'a>(element: Element, bytes: &[u8], room: &mut Room) -> Result<Value<'a>, String> {
    room.take(count(element, bytes))?;
    let values = match element {
        Element::Int(1) => fixed(bytes, |b: [u8; 1]| Value::Int(i8::from_le_bytes(b).into())),
        Element::Int(2) => fixed(bytes, |b| Value::Int(i16::from_le_bytes(b).into())),
        Element::Int(4) => fixed(bytes, |b| Value::Int(i32::from_le_bytes(b).into())),
        Element::Int(_) => fixed(bytes, |b| Value::Int(i64::from_le_bytes(b))),
        Element::UInt(1) => fixed(bytes, |b: [u8; 1]| Value::Int(b[0].into())),
        Element::UInt(2) => fixed(bytes, |b| Value::Int(u16::from_le_bytes(b).into())),
        Element::UInt(4) => fixed(bytes, |b| Value::Int(u32::from_le_bytes(b).into())),
        Element::UInt(_) => fixed(bytes, |b| {
            let v = u64::from_le_bytes(b);
            i64::try_from(v).map_or(Value::UInt(v), Value::Int)
        }),
        Element::Float => fixed(bytes, |b| Value::Float(f32::from_le_bytes(b).into())),
        Element::Double => fixed(bytes, |b| Value::Float(f64::from_le_bytes(b))),
        Element::DateTime => {
            let millis = fixed(bytes, |b| Value::Int(i64::from_le_bytes(b)));
            return times(millis.ok_or_else(|| misplaced(Datatype::Array(element)))?);
        }
        Element::Boolean => booleans(bytes),
        Element::Text => texts(bytes),
    };
    let values = values.ok_or_else(|| misplaced(Datatype::Array(element)))?;
    Ok(Value::List(values))
}

/// How many elements the array has at most.
fn count(element: Element, bytes: &[u8]) -> usize {
    match element {
        Element::Int(size) | Element::UInt(size) => bytes.len() / size.max(1),
        Element::Float => bytes.len() / 4,
        Element::Double | Element::DateTime => bytes.len() / 8,
        Element::Boolean => bytes.len().saturating_mul(8),
        Element::Text => bytes.iter().filter(|b| **b == 0).count(),
    }
}

fn fixed<'a, const N: usize>(
    bytes: &[u8],
    of: impl Fn([u8; N]) -> Value<'a>,
) -> Option<Vec<Value<'a>>> {
    let (whole, rest) = bytes.as_chunks::<N>();
    rest.is_empty()
        .then(|| whole.iter().map(|chunk| of(*chunk)).collect())
}

fn times<'a>(millis: Vec<Value<'a>>) -> Result<Value<'a>, String> {
    let time = |value| match value {
        Value::Int(ms) => micros(u64::try_from(ms).unwrap_or(u64::MAX)).map(Value::Micros),
        other => Ok(other),
    };
    Ok(Value::List(
        millis.into_iter().map(time).collect::<Result<_, _>>()?,
    ))
}

/// A count of four bytes, then the bits, the highest of each byte first.
fn booleans<'a>(bytes: &[u8]) -> Option<Vec<Value<'a>>> {
    let (count, bits) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    if count.div_ceil(8) != bits.len() {
        return None;
    }
    let bit = |at: usize| {
        bits.get(at / 8)
            .map(|byte| Value::Bool(byte & (0x80 >> (at % 8)) != 0))
    };
    (0..count).map(bit).collect()
}

fn texts<'a>(bytes: &[u8]) -> Option<Vec<Value<'a>>> {
    let Some((0, all)) = bytes.split_last().map(|(last, all)| (*last, all)) else {
        return bytes.is_empty().then(Vec::new);
    };
    let text = |part: &[u8]| {
        Some(Value::Text(
            std::str::from_utf8(part).ok()?.to_owned().into(),
        ))
    };
    all.split(|b| *b == 0).map(text).collect()
}

/// A data set as its columns and its rows: names are not repeated, so that a small payload makes
/// no large text.
fn data_set<'a>(bytes: &Bytes, room: &mut Room) -> Result<Value<'a>, String> {
    room.take(bytes.len())?;
    let set = DataSet::decode(bytes.clone()).map_err(|e| format!("no data set: {e}"))?;
    if set.columns.len() != set.types.len() {
        return Err("its data set has not a type for each column".into());
    }
    let types = set.types.iter().map(|number| Datatype::of(*number));
    let types = types.collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::with_capacity(set.rows.len());
    for row in set.rows {
        if row.elements.len() != types.len() {
            return Err("its data set has a row of another length".into());
        }
        let cells = types.iter().zip(row.elements);
        let cells = cells.map(|(datatype, element)| match element.value.map(element_raw) {
            Some(raw) => scalar(*datatype, raw),
            None => Ok(Value::Null),
        });
        rows.push(Value::List(cells.collect::<Result<_, String>>()?));
    }
    let columns = set.columns.into_iter().map(|name| Value::Text(name.into()));
    let columns = Value::List(columns.collect());
    Ok(Value::Object(vec![
        ("columns".into(), columns),
        ("rows".into(), Value::List(rows)),
    ]))
}

fn element_raw(element: DataSetElement) -> Raw {
    match element {
        DataSetElement::Int(v) => Raw::Int(v),
        DataSetElement::Long(v) => Raw::Long(v),
        DataSetElement::Float(v) => Raw::Float(v),
        DataSetElement::Double(v) => Raw::Double(v),
        DataSetElement::Boolean(v) => Raw::Boolean(v),
        DataSetElement::Text(v) => Raw::Text(v),
    }
}

fn parameter_raw(value: ParameterValue) -> Raw {
    match value {
        ParameterValue::Int(v) => Raw::Int(v),
        ParameterValue::Long(v) => Raw::Long(v),
        ParameterValue::Float(v) => Raw::Float(v),
        ParameterValue::Double(v) => Raw::Double(v),
        ParameterValue::Boolean(v) => Raw::Boolean(v),
        ParameterValue::Text(v) => Raw::Text(v),
    }
}

/// A template's instance or definition as an object.
fn template<'a>(bytes: &Bytes, room: &mut Room) -> Result<Value<'a>, String> {
    room.take(bytes.len())?;
    let nested = room.nested.checked_sub(1);
    room.nested = nested.ok_or("its templates are nested too deep")?;
    let template = Template::decode(bytes.clone()).map_err(|e| format!("no template: {e}"))?;
    let mut fields = Vec::new();
    for (name, text) in [
        ("template_ref", template.template_ref),
        ("version", template.version),
    ] {
        fields.extend(text.map(|text| (name.into(), Value::Text(text.into()))));
    }
    let parameters = template.parameters.into_iter().map(|parameter| {
        let raw = parameter.value.map(parameter_raw);
        let value = raw.map_or(Ok(Value::Null), |raw| typed(parameter.datatype, raw))?;
        Ok((parameter.name.unwrap_or_default().into(), value))
    });
    let parameters = parameters.collect::<Result<Vec<_>, String>>()?;
    if !parameters.is_empty() {
        fields.push(("parameters".into(), Value::Object(parameters)));
    }
    let metrics = template.metrics.into_iter().map(|mut metric| {
        let name = metric.name.take().unwrap_or_default();
        Ok((name.into(), member(metric, room)?))
    });
    let metrics = metrics.collect::<Result<_, String>>()?;
    fields.push(("metrics".into(), Value::Object(metrics)));
    room.nested += 1;
    Ok(Value::Object(fields))
}

/// The value of a template's metric, which may be of no told datatype.
fn member<'a>(metric: Metric, room: &mut Room) -> Result<Value<'a>, String> {
    match metric.datatype.filter(|number| *number != 0) {
        Some(19) => match metric.value {
            Some(MetricValue::Template(inner)) => template(&inner, room),
            _ => Ok(Value::Null),
        },
        Some(16) => match metric.value {
            Some(MetricValue::DataSet(set)) => data_set(&set, room),
            _ => Ok(Value::Null),
        },
        Some(number) => value(metric, Datatype::of(number)?, room),
        None => {
            let raw = metric.value.and_then(raw);
            raw.map_or(Ok(Value::Null), |raw| typed(None, raw))
        }
    }
}

fn typed<'a>(datatype: Option<u32>, raw: Raw) -> Result<Value<'a>, String> {
    if let Some(number) = datatype.filter(|number| *number != 0) {
        return scalar(Datatype::of(number)?, raw);
    }
    let datatype = match raw {
        Raw::Int(_) => Datatype::UInt(32),
        Raw::Long(_) => Datatype::UInt(64),
        Raw::Float(_) | Raw::Double(_) => Datatype::Double,
        Raw::Boolean(_) => Datatype::Boolean,
        Raw::Text(_) => Datatype::Text,
    };
    scalar(datatype, raw)
}

#[cfg(test)]
#[path = "metric_tests.rs"]
mod tests;
