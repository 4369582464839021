#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| primacy::zookeeper::contents::properties::contents(data));
