//! Frames on the socketpair: a big-endian u32 length and that many bytes of JSON.
//!
//! [`read_frame`] and [`write_frame`] are for a blocking stream; [`Frames`] takes bytes as they come.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::MAX_FRAME;

/// Bytes of the length in front of each frame.
const HEADER: usize = 4;

/// A message as the bytes of one frame.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - HEADER;
    check_length(length)?;
    let header = u32::try_from(length).map_err(|_| too_long(length))?.to_be_bytes();
    frame[..HEADER].copy_from_slice(&header);
    Ok(frame)
}

/// Writes one frame to a blocking stream.
pub fn write_frame<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    stream.write_all(&encode(message)?)
}

/// Reads one frame from a blocking stream; `None` at the end of file between two frames.
pub fn read_frame<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<T>> {
    let mut header = [0; HEADER];
    let mut filled = 0;
    while filled < HEADER {
        match stream.read(&mut header[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_be_bytes(header) as usize;
    check_length(length)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// Bytes received so far that do not make a whole frame yet.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there. An error is final: where the next frame begins is unknown.
    pub fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        check_length(length)?;
        let Some(body) = self.bytes.get(HEADER..HEADER + length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.bytes.drain(..HEADER + length);
        Ok(Some(message))
    }
}

fn check_length(length: usize) -> io::Result<()> {
    if length > MAX_FRAME { Err(too_long(length)) } else { Ok(()) }
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("frame of {length} bytes, at most {MAX_FRAME} are permitted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardian::protocol::GuardianOrder;

    #[test]
    fn a_frame_comes_back_as_it_was_sent() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &GuardianOrder::Ping { number: 7 }).unwrap();
        write_frame(&mut bytes, &GuardianOrder::Kill).unwrap();
        let mut stream = bytes.as_slice();
        assert_eq!(read_frame(&mut stream).unwrap(), Some(GuardianOrder::Ping { number: 7 }));
        assert_eq!(read_frame(&mut stream).unwrap(), Some(GuardianOrder::Kill));
        assert_eq!(read_frame::<GuardianOrder>(&mut stream).unwrap(), None);
    }

    #[test]
    fn a_frame_that_arrives_byte_by_byte_is_the_same_frame() {
        let bytes = encode(&GuardianOrder::Stop).unwrap();
        let mut frames = Frames::default();
        for byte in &bytes[..bytes.len() - 1] {
            frames.push(&[*byte]);
            assert_eq!(frames.take::<GuardianOrder>().unwrap(), None);
        }
        frames.push(&bytes[bytes.len() - 1..]);
        assert_eq!(frames.take().unwrap(), Some(GuardianOrder::Stop));
        assert_eq!(frames.take::<GuardianOrder>().unwrap(), None);
    }

    #[test]
    fn an_overlong_frame_is_refused_by_its_header_alone() {
        let header = u32::MAX.to_be_bytes();
        let mut frames = Frames::default();
        frames.push(&header);
        assert_eq!(frames.take::<GuardianOrder>().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_frame::<GuardianOrder>(&mut header.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn garbage_and_half_frames_are_errors() {
        let garbage = [&4_u32.to_be_bytes()[..], b"\xff\xfe{]"].concat();
        assert!(read_frame::<GuardianOrder>(&mut garbage.as_slice()).is_err());
        let mut frames = Frames::default();
        frames.push(&garbage);
        assert!(frames.take::<GuardianOrder>().is_err());
        let half = &encode(&GuardianOrder::Stop).unwrap()[..6];
        assert_eq!(read_frame::<GuardianOrder>(&mut &half[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
