//! How good the models are on public data, through the whole path: a file into a table, a
//! spec with SQL features, training, and the model's answers. One file each data set, with
//! its protocol, its goal and what was chosen on which rows. Where the folder of the data is
//! absent the tests say so and pass: generated cases elsewhere always run.
#![allow(clippy::unwrap_used)]

mod ai4i;
mod cmapss;
mod cmapss_gru;
mod cmapss_xgboost;
mod ecg5000;
mod etth1;
mod skab;
mod support;
