//! Segments of the log, made up and damaged: nothing is invented or lost before the damage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingest::fuzzing::replay(data));
