//! Sparkplug B 3.0: the metrics of a message as rows, one for each of their timestamps.
//!
//! A row has the group, the edge node and the device of the topic, the time, the sequence number,
//! and a column for each metric of the message that has this time. A birth certificate's row has
//! `online = true`, a death certificate's `online = false`, and data's has neither. The time of an
//! edge node's death is that of its arrival: its message was written when the node connected.
//!
//! A birth certificate holds until the next of its edge node or device, also where that one is
//! refused, or until the death: data is never read by that of an earlier session.

mod address;
mod births;
mod metric;
mod names;
mod proto;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::compression;
use super::kind::Kind;
use super::value::Value;
use address::Address;
use births::{BD_SEQ, Birth};
use metric::{Datatype, Room};
use proto::Payload;

pub(super) use address::Act;
pub(crate) use births::{Births, Certificate, SparkplugCounts};
pub(super) use names::DEVICE;

/// The UUID of a payload whose body is another, compressed.
const COMPRESSED: &str = "SPBV1.0_COMPRESSED";
/// Metrics of one message: each is a value, and may be a row.
const MOST_METRICS: usize = 100_000;

/// The rows of one message.
pub(super) struct Rows {
    /// Columns that all rows have.
    pub(super) common: Vec<(&'static str, Value<'static>, Kind)>,
    pub(super) rows: Vec<Row>,
}

/// One row: what its columns beside the common ones are.
pub(super) struct Row {
    /// Microseconds since the epoch; none for the arrival.
    pub(super) time: Option<i64>,
    pub(super) online: Option<bool>,
    pub(super) points: Vec<Point>,
}

/// The value of one metric.
pub(super) struct Point {
    pub(super) column: Arc<str>,
    pub(super) value: Value<'static>,
    pub(super) kind: Kind,
}

/// Where a message comes from and how it is read.
pub(super) struct Source<'s> {
    pub(super) topic: &'s str,
    /// The time column.
    pub(super) time: &'s str,
    /// Bytes a compressed body may have.
    pub(super) most: usize,
}

/// The rows of a message; what it says of births is remembered.
///
/// # Errors
/// Why there are none, in words for a dead letter.
pub(super) fn rows(source: &Source<'_>, body: &[u8], births: &mut Births) -> Result<Rows, String> {
    let (address, act) = address::parse(source.topic)?;
    let (payload, birth) = match act {
        Act::Birth => {
            let (payload, birth) = learn(source, address, body, births)?;
            (payload, Some(birth))
        }
        Act::Data | Act::Death => {
            let payload = parse(Bytes::copy_from_slice(body), source.most)?;
            (payload, births.find(address))
        }
    };
    if payload.seq.is_some_and(|seq| seq > 255) {
        return Err("the sequence number is above 255".into());
    }
    let of_node = address.device.is_none();
    // The broker sends an edge node's death, which has no place in the sequence.
    if !(of_node && act == Act::Death) {
        births.follow(address, payload.seq, of_node && act == Act::Birth);
    }
    let rows = match (act, &birth) {
        (Act::Data, None) if !births.blind => {
            births.counts.unborn += 1;
            return Err(unborn(address));
        }
        (Act::Death, birth) if of_node => {
            vec![death_of_node(&payload, birth.as_deref())?]
        }
        (_, birth) => dated(&payload, birth.as_deref(), source.time, act)?,
    };
    Ok(Rows {
        common: common(address, payload.seq),
        rows,
    })
}

/// Remembers an earlier certificate again.
pub(super) fn restore(source: &Source<'_>, body: &[u8], births: &mut Births) -> Result<(), String> {
    match address::parse(source.topic)? {
        (address, Act::Birth) if body.is_empty() => births.forget(address),
        (address, Act::Birth) => {
            learn(source, address, body, births)?;
        }
        _ => {}
    }
    Ok(())
}

/// Forgets the birth certificate that a message has ended, whose own words are of no use: a death
/// that made its row, or a birth that is refused before it is read.
pub(super) fn end(topic: &str, by: Act, births: &mut Births) {
    if let Ok((address, act)) = address::parse(topic)
        && act == by
    {
        births.forget(address);
    }
}

/// Remembers a birth certificate. Where it cannot be, what was known before it holds no more.
fn learn(
    source: &Source<'_>,
    address: Address<'_>,
    body: &[u8],
    births: &mut Births,
) -> Result<(Payload, Arc<Birth>), String> {
    let certificate = Certificate {
        topic: Bytes::copy_from_slice(source.topic.as_bytes()),
        payload: Bytes::copy_from_slice(body),
    };
    let read = || {
        if body.is_empty() {
            return Err("the birth certificate is empty".into());
        }
        let payload = parse(certificate.payload.clone(), source.most)?;
        let birth = Birth::new(certificate.clone(), &payload, source.time)?;
        Ok((payload, birth))
    };
    let learned = read().and_then(|(payload, birth)| Ok((payload, births.learn(address, birth)?)));
    if learned.is_err() {
        births.forget(address);
    }
    learned
}

fn parse(body: Bytes, most: usize) -> Result<Payload, String> {
    let wrong = |e| format!("not Sparkplug B: {e}");
    let payload = Payload::decode(body).map_err(wrong)?;
    match (payload.uuid.as_deref(), &payload.body) {
        (Some(COMPRESSED), Some(body)) => {
            let inner = compression::deflated(body, most)?;
            Payload::decode(Bytes::from(inner)).map_err(wrong)
        }
        _ => Ok(payload),
    }
}

fn unborn(of: Address<'_>) -> String {
    match of.device {
        None => format!(
            "no birth certificate of edge node '{}' was seen before its data",
            of.node
        ),
        Some(device) => format!(
            "no birth certificate of device '{device}' was seen before its data since its edge node '{}' was born",
            of.node
        ),
    }
}

fn common(of: Address<'_>, seq: Option<u64>) -> Vec<(&'static str, Value<'static>, Kind)> {
    let text = |text: &str| Value::Text(text.to_owned().into());
    let seq = seq.and_then(|seq| i64::try_from(seq).ok());
    vec![
        (names::GROUP, text(of.group), Kind::String),
        (names::NODE, text(of.node), Kind::String),
        (
            names::DEVICE,
            of.device.map_or(Value::Null, text),
            Kind::String,
        ),
        (names::SEQ, seq.map_or(Value::Null, Value::Int), Kind::Int),
    ]
}

impl Row {
    pub(super) fn online(&self) -> (&'static str, Value<'static>, Kind) {
        let online = self.online.map_or(Value::Null, Value::Bool);
        (names::ONLINE, online, Kind::Boolean)
    }
}

/// The death of an edge node, unless it is that of an earlier session.
fn death_of_node(payload: &Payload, birth: Option<&Birth>) -> Result<Row, String> {
    let mut points = Vec::new();
    for bytes in &payload.metrics {
        let metric = births::metric(bytes)?;
        if metric.name.as_deref() != Some(BD_SEQ) {
            return Err("the death certificate has a metric other than bdSeq".into());
        }
        let session = births::session(metric.value.as_ref());
        let born = birth.and_then(|birth| birth.bd_seq);
        if let (Some(session), Some(born)) = (session, born)
            && session != born
        {
            return Err(format!(
                "the death certificate is of session {session}, and session {born} was born since"
            ));
        }
        let session = session.and_then(|session| i64::try_from(session).ok());
        points.push(Point {
            column: BD_SEQ.to_lowercase().into(),
            value: session.map_or(Value::Null, Value::Int),
            kind: Kind::Long,
        });
    }
    Ok(Row {
        time: None,
        online: Some(false),
        points,
    })
}

/// A row for each timestamp, that of the payload first where it says who is online.
fn dated(
    payload: &Payload,
    birth: Option<&Birth>,
    time: &str,
    act: Act,
) -> Result<Vec<Row>, String> {
    if payload.metrics.len() > MOST_METRICS {
        return Err(format!("the message has more than {MOST_METRICS} metrics"));
    }
    let own = payload.timestamp.map(metric::micros).transpose()?;
    let mut room = Room::new();
    let mut points: Vec<(Option<i64>, Point)> = Vec::with_capacity(payload.metrics.len());
    for bytes in &payload.metrics {
        let (at, point) = point(bytes, birth, time, &mut room)?;
        points.push((at.or(own), point));
    }
    let online = match act {
        Act::Birth => Some(true),
        Act::Death => Some(false),
        Act::Data => None,
    };
    // Rows in the order of their times, and metrics of one time in theirs.
    points.sort_by_key(|(at, _)| (*at != own, *at));
    let mut rows: Vec<Row> = Vec::new();
    let mut columns: HashSet<Arc<str>> = HashSet::new();
    let opens = online.is_some() || points.is_empty();
    if opens {
        rows.push(Row {
            time: own,
            online,
            points: Vec::new(),
        });
    }
    for (at, point) in points {
        // A metric that is there twice at one time makes another row.
        let fits =
            rows.last().is_some_and(|row| row.time == at) && !columns.contains(&point.column);
        if !fits {
            columns.clear();
            rows.push(Row {
                time: at,
                online: None,
                points: Vec::new(),
            });
        }
        columns.insert(Arc::clone(&point.column));
        if let Some(row) = rows.last_mut() {
            row.points.push(point);
        }
    }
    Ok(rows)
}

/// A metric's own time, if it has one, and its value.
fn point(
    bytes: &Bytes,
    birth: Option<&Birth>,
    time: &str,
    room: &mut Room,
) -> Result<(Option<i64>, Point), String> {
    let metric = births::metric(bytes)?;
    let known = birth.and_then(|birth| birth.find(metric.name.as_deref(), metric.alias));
    let shown = match (&metric.name, metric.alias) {
        (Some(name), _) => format!("metric '{name}'"),
        (None, Some(alias)) => format!("the metric of alias {alias}"),
        (None, None) => return Err("a metric has neither name nor alias".into()),
    };
    let (column, datatype) = match (known, &metric.name) {
        (Some(known), _) => (Arc::clone(&known.column), known.datatype),
        (None, None) if birth.is_none() => {
            return Err(format!("{shown} cannot be replayed without its birth"));
        }
        (None, None) => return Err(format!("{shown} is not in the birth certificate")),
        (None, Some(name)) => {
            let column = match birth {
                Some(birth) => birth.column_beside(name, time),
                None => names::column_beside(name, time, &HashSet::new()),
            };
            let number = metric.datatype.ok_or_else(|| {
                format!("{shown} is not in the birth certificate and has no datatype")
            })?;
            (
                column.into(),
                Datatype::of(number).map_err(|e| format!("{shown}: {e}"))?,
            )
        }
    };
    let at = metric.timestamp.map(metric::micros).transpose()?;
    let value = metric::value(metric, datatype, room).map_err(|e| format!("{shown}: {e}"))?;
    let kind = datatype.kind();
    Ok((
        at,
        Point {
            column,
            value,
            kind,
        },
    ))
}
