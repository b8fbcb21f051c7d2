//! Payloads of one stream: each becomes rows or one dead letter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingest::fuzzing::decode("c/a/b", data));
