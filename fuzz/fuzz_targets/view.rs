#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| primacy::election::zookeeper::properties::view(data));
