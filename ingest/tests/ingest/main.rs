//! The ingester as a whole: MQTT clients on the embedded broker, a lake on a local folder.

#![allow(clippy::unwrap_used)]

mod broker;
mod conformance;
mod copies;
mod crowds;
mod doors;
mod durability;
mod external;
mod faults;
mod foreign;
mod live_streams;
mod mosquitto_clients;
mod papers;
mod payloads;
mod rows;
mod support;
mod unique;
