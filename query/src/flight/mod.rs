//! Flight SQL: the server that BI tools and ADBC talk to, and the client behind the CLI.
mod auth;
mod client;
mod connection;
mod done;
mod handles;
mod info;
mod ingest;
mod keys;
mod listing;
mod options;
mod params;
mod reply;
mod serve;
mod server;
mod service;
mod sessions;
mod statements;
mod status;

pub use client::{Answer, BatchStream, Client};
pub use done::Done;
pub use serve::serve;

/// Request header that names the ref of table names without one, for clients that cannot
/// put it into the SQL.
pub const REF_HEADER: &str = "x-pumphouse-ref";
