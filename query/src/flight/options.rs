//! Session options over Flight: `catalog` is the ref of names without one, `schema` the
//! namespace. The messages are those of Flight.proto, which arrow-flight has no types for.
use std::collections::HashMap;

use prost::Message;
use tonic::Status;

use crate::Session;

const CATALOG: &str = "catalog";
const SCHEMA: &str = "schema";
/// `SetSessionOptionsResult.ErrorValue`
const INVALID_NAME: i32 = 1;
const INVALID_VALUE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct SetRequest {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
}

#[derive(Clone, PartialEq, Message)]
struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(int32, tag = "1")]
    value: i32,
}

#[derive(Clone, PartialEq, Message)]
struct GetResult {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

/// Answers `SetSessionOptions`: options that cannot be set are named in the answer.
pub(crate) async fn set(session: &Session, body: &[u8]) -> Result<Vec<u8>, Status> {
    let request = SetRequest::decode(body).map_err(|error| {
        Status::invalid_argument(format!("cannot read the session options: {error}"))
    })?;
    let mut errors = HashMap::new();
    for (name, value) in request.options {
        let error = match (name.as_str(), value.value) {
            (CATALOG, Some(Value::Text(reference))) => {
                let used = session.use_reference(&reference).await;
                used.is_err().then_some(INVALID_VALUE)
            }
            (SCHEMA, Some(Value::Text(namespace))) => {
                session.use_namespace(&namespace);
                None
            }
            (CATALOG | SCHEMA, _) => Some(INVALID_VALUE),
            _ => Some(INVALID_NAME),
        };
        if let Some(value) = error {
            errors.insert(name, OptionError { value });
        }
    }
    Ok(SetResult { errors }.encode_to_vec())
}

/// Answers `GetSessionOptions`.
pub(crate) fn get(session: &Session) -> Vec<u8> {
    let text = |text: String| OptionValue {
        value: Some(Value::Text(text)),
    };
    let options = HashMap::from([
        (CATALOG.to_owned(), text(session.reference())),
        (SCHEMA.to_owned(), text(session.namespace())),
    ]);
    GetResult { options }.encode_to_vec()
}
