#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| primacy::guardian::volume::properties::contents(data));
