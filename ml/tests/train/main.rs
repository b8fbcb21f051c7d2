//! Training, the registry and inference against a real lake in a temporary
//! folder, with the real XGBoost library (`make xgboost` fetches it).
#![allow(clippy::unwrap_used)]

mod anomaly;
mod branches;
mod datasets;
mod errors;
mod feedback;
mod fixture;
mod inference;
mod library;
mod plant;
mod point_in_time;
mod registry;
mod retraining;
mod scoring;
mod search;
mod shipped;
mod sql;
mod tables;
mod tasks;
