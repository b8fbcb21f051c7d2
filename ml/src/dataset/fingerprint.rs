//! The fingerprint of a data set: equal for equal numbers, names, classes, split and scales,
//! and so for training runs that had the same to learn from.
//!
//! SHA-256 (FIPS 180-4) over a JSON text that describes the data set and holds the SHA-256 of
//! each of its lists of numbers. A list's is that over the SHA-256 of its pieces of 4 MiB, the
//! last one shorter, each number in little-endian bytes: so several threads share the work.
use rayon::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Dataset, Part};

/// Numbers of a piece.
const PIECE: usize = 1 << 20;

/// The fingerprint of `data`, in hex.
pub(super) fn of(data: &Dataset) -> String {
    let part = |part: &Part| {
        let ends: Vec<u64> = part.ends.iter().map(|end| *end as u64).collect();
        json!({
            "samples": part.ends.len(),
            "ends": hex(&pieces(&ends, |end| end.to_le_bytes())),
            "labels": of_numbers(&part.labels),
            "weights": of_numbers(&part.weights),
        })
    };
    let description = json!({
        "features": data.features,
        "label": data.label,
        "classes": data.classes,
        "targets": data.targets,
        "length": data.length,
        "horizon": data.horizon,
        "normalisation": data.normalisation,
        "values": of_numbers(&data.values),
        "train": part(&data.train),
        "validation": part(&data.validation),
        "test": part(&data.test),
    });
    hex(&Sha256::digest(description.to_string().as_bytes()))
}

fn of_numbers(numbers: &[f32]) -> String {
    hex(&pieces(numbers, |number| number.to_le_bytes()))
}

fn pieces<T: Sync, const N: usize>(list: &[T], bytes: impl Fn(&T) -> [u8; N] + Sync) -> Vec<u8> {
    let digests = list.par_chunks(PIECE).map(|piece| {
        let mut hash = Sha256::new();
        let mut buffer = Vec::with_capacity(N << 10);
        for numbers in piece.chunks(1 << 10) {
            buffer.clear();
            buffer.extend(numbers.iter().flat_map(&bytes));
            hash.update(&buffer);
        }
        hash.finalize()
    });
    let digests: Vec<_> = digests.collect();
    let mut all = Sha256::new();
    digests.iter().for_each(|digest| all.update(digest));
    all.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
