#![no_main]

use primacy::election::zookeeper::properties::{queue, view};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    view(data);
    queue(data);
});
