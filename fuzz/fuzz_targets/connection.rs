#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| primacy::api::properties::connection(data));
