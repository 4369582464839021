//! As much HTTP as the appender needs: one request a connection, no body looked at, every wait limited.
//!
//! Rejected: a server library. Those that are well kept are asynchronous, and what is wanted here is a thread that blocks
//! in the journal's sync and nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

/// A client that has not sent its request, or does not take its answer, by then is left.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any request here has.
const LONGEST_HEAD: u64 = 16 * 1024;

#[derive(Debug, PartialEq)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// What stands after the question mark.
    pub query: String,
}

impl Request {
    /// The value of a parameter, as it was sent: ids need no escapes.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Serves until the process ends, with a thread for every connection.
pub fn serve(listener: &TcpListener, handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
    let handler = Arc::new(handler);
    for connection in listener.incoming() {
        let Ok(connection) = connection else {
            // Out of descriptors, say: not a reason to spin.
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        let handler = handler.clone();
        // A connection that gets no thread is closed, and its client tries again.
        let _ = std::thread::Builder::new().spawn(move || converse(connection, handler.as_ref()));
    }
}

/// An error is the client's: it sees its connection end.
fn converse(mut connection: TcpStream, handler: impl Fn(&Request) -> Answer) -> Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.set_nodelay(true)?;
    let answer = match read(&mut BufReader::new((&connection).take(LONGEST_HEAD))) {
        Ok(request) => handler(&request),
        Err(error) => Answer { status: 400, body: serde_json::json!({ "error": format!("{error:#}") }).to_string() },
    };
    let Answer { status, body } = answer;
    let text = if status == 200 { "OK" } else { "Error" };
    let head =
        format!("HTTP/1.1 {status} {text}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    connection.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())?;
    Ok(())
}

fn read(reader: &mut impl BufRead) -> Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_ascii_whitespace();
    let method = words.next().context("no method")?.to_owned();
    let target = words.next().context("no target")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request { method, path: path.to_owned(), query: query.to_owned() };
    // To the empty line: a connection that is closed with unread bytes is reset, and the answer with it.
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            anyhow::bail!("the request ends within its head");
        }
        if header.trim_end().is_empty() {
            return Ok(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart_and_half_a_request_is_none() {
        let text = "POST /increment?op=c-1&x=y HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
        let request = read(&mut text.as_bytes()).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/increment"));
        assert_eq!((request.parameter("op"), request.parameter("o")), (Some("c-1"), None));
        for end in 0..text.len() - 2 {
            assert!(read(&mut &text.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }
}
