//! Messages of Sparkplug B in turn: each becomes rows or one dead letter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingest::fuzzing::decode_sparkplug(data));
