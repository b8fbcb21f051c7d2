//! The messages of Sparkplug B (specification 3.0, chapter 6.4), as far as rows need them.
//!
//! Fields that make no row (metadata, properties) are left out, and so skipped. The metrics of a
//! payload, data sets and templates stay bytes until each is looked at, so that a small payload of
//! many empty parts takes little memory.

use bytes::Bytes;
use prost::{Message, Oneof};

/// The body of every message.
#[derive(Clone, PartialEq, Message)]
pub(in crate::decode) struct Payload {
    /// Milliseconds since the epoch.
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::decode) timestamp: Option<u64>,
    /// Each a [`Metric`].
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(in crate::decode) metrics: Vec<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub(in crate::decode) seq: Option<u64>,
    #[prost(string, optional, tag = "4")]
    pub(in crate::decode) uuid: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(in crate::decode) body: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::decode) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub(in crate::decode) name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub(in crate::decode) alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(in crate::decode) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(in crate::decode) datatype: Option<u32>,
    #[prost(bool, optional, tag = "7")]
    pub(in crate::decode) is_null: Option<bool>,
    #[prost(oneof = "MetricValue", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18")]
    pub(in crate::decode) value: Option<MetricValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::decode) enum MetricValue {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    Text(String),
    #[prost(bytes = "bytes", tag = "16")]
    Bytes(Bytes),
    /// A [`DataSet`].
    #[prost(bytes = "bytes", tag = "17")]
    DataSet(Bytes),
    /// A [`Template`].
    #[prost(bytes = "bytes", tag = "18")]
    Template(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::decode) struct DataSet {
    #[prost(string, repeated, tag = "2")]
    pub(in crate::decode) columns: Vec<String>,
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub(in crate::decode) types: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    pub(in crate::decode) rows: Vec<DataSetRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::decode) struct DataSetRow {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::decode) elements: Vec<DataSetValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::decode) struct DataSetValue {
    #[prost(oneof = "DataSetElement", tags = "1, 2, 3, 4, 5, 6")]
    pub(in crate::decode) value: Option<DataSetElement>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::decode) enum DataSetElement {
    #[prost(uint32, tag = "1")]
    Int(u32),
    #[prost(uint64, tag = "2")]
    Long(u64),
    #[prost(float, tag = "3")]
    Float(f32),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(bool, tag = "5")]
    Boolean(bool),
    #[prost(string, tag = "6")]
    Text(String),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::decode) struct Template {
    #[prost(string, optional, tag = "1")]
    pub(in crate::decode) version: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::decode) metrics: Vec<Metric>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::decode) parameters: Vec<Parameter>,
    #[prost(string, optional, tag = "4")]
    pub(in crate::decode) template_ref: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::decode) struct Parameter {
    #[prost(string, optional, tag = "1")]
    pub(in crate::decode) name: Option<String>,
    #[prost(uint32, optional, tag = "2")]
    pub(in crate::decode) datatype: Option<u32>,
    #[prost(oneof = "ParameterValue", tags = "3, 4, 5, 6, 7, 8")]
    pub(in crate::decode) value: Option<ParameterValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::decode) enum ParameterValue {
    #[prost(uint32, tag = "3")]
    Int(u32),
    #[prost(uint64, tag = "4")]
    Long(u64),
    #[prost(float, tag = "5")]
    Float(f32),
    #[prost(double, tag = "6")]
    Double(f64),
    #[prost(bool, tag = "7")]
    Boolean(bool),
    #[prost(string, tag = "8")]
    Text(String),
}
