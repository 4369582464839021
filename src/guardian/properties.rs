//! What must hold of whatever comes through the socketpair. Run by the tests below, and by `fuzz/` with better guesses.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frames::{Frames, encode, read_frame};
use super::protocol::{GuardianOrder, MAX_FRAME, Report};

/// Any bytes as frames: never a panic, the same messages however the bytes are cut, and every message comes back as it is.
pub fn frames(data: &[u8]) {
    frames_of::<GuardianOrder>(data);
    frames_of::<Report>(data);
}

fn frames_of<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    let (whole, broken) = blocking::<T>(data);
    for size in [1, 5, data.len().max(1)] {
        let (messages, refused) = piecewise::<T>(data, size);
        assert_eq!(messages, whole, "cut into {size}");
        // Half a frame is an end of file to the one and patience to the other.
        assert!(broken || !refused, "cut into {size}");
    }
    for message in whole {
        let frame = encode(&message).expect("what was read can be written");
        assert!(frame.len() <= MAX_FRAME + 4);
        let mut stream = frame.as_slice();
        assert_eq!(read_frame(&mut stream).expect("what was written can be read"), Some(message));
        assert!(stream.is_empty());
    }
}

fn blocking<T: DeserializeOwned>(mut data: &[u8]) -> (Vec<T>, bool) {
    let mut messages = Vec::new();
    loop {
        match read_frame(&mut data) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, false),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return (messages, true);
            }
        }
    }
}

fn piecewise<T: DeserializeOwned>(data: &[u8], size: usize) -> (Vec<T>, bool) {
    let (mut messages, mut frames) = (Vec::new(), Frames::default());
    for chunk in data.chunks(size) {
        frames.push(chunk);
        loop {
            match frames.take() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame around any bytes.
    fn framed(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        [&length.to_be_bytes()[..], body].concat()
    }

    proptest! {
        #[test]
        fn any_bytes_on_the_socket_are_messages_or_refused(data in prop::collection::vec(any::<u8>(), 0..100)) {
            frames(&data);
            frames(&framed(&data));
        }

        #[test]
        fn any_times_and_numbers_in_messages_come_back(
            deadline in any::<u64>(),
            epoch in any::<u64>(),
            secs in any::<u64>(),
            nanos in any::<u32>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let text = [
                format!(r#"{{"set_deadline":{{"deadline":{deadline}}}}}"#),
                format!(r#"{{"start":{{"epoch":{epoch},"deadline":{deadline}}}}}"#),
                format!(r#"{{"probed":{{"started":1,"took":{{"secs":{secs},"nanos":{nanos}}},"free_bytes":{epoch}}}}}"#),
                r#""stop""#.to_owned(),
            ];
            let mut data = Vec::new();
            for text in text {
                data.extend(framed(text.as_bytes()));
            }
            frames(&data);
            frames(&data[..cut.index(data.len())]);
        }
    }
}
