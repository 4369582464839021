//! Asks the coordinator how it is, once.

use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::{self, HealthProbe};
use crate::moment::in_words;

/// Its answer, or why there is none. (A command is the guardian's to run.)
pub async fn ask(probe: &HealthProbe, timeout: Duration) -> Result<(), String> {
    let answer = async {
        match probe {
            HealthProbe::Http(url) => ask_http(url).await,
            HealthProbe::Tcp(address) => {
                TcpStream::connect(address).await.map(drop).map_err(|error| format!("{address}: {error}"))
            }
            HealthProbe::Command(_) => Err("a command is run by the guardian".to_owned()),
        }
    };
    tokio::time::timeout(timeout, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {}", in_words(timeout))))
}

async fn ask_http(url: &str) -> Result<(), String> {
    let uri: hyper::Uri = url.parse().map_err(|error| format!("health.http: {error}"))?;
    // What is told ends in status and history, which others read.
    let url = config::shown_url(url);
    let host = uri.host().ok_or_else(|| format!("{url}: no host"))?;
    let port = uri.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(|e| format!("{url}: {e}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| format!("{url}: {e}"))?;
    let request = hyper::Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(hyper::header::HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(hyper::header::USER_AGENT, concat!("primacy/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|e| format!("{url}: {e}"))?;
    let answer = async { sender.send_request(request).await.map_err(|e| format!("{url}: {e}")) };
    tokio::pin!(answer, connection);
    let response = tokio::select! {
        response = &mut answer => response?,
        // A server that closes after its answer ends the connection in the very turn that brings the answer.
        ended = &mut connection => {
            ended.map_err(|e| format!("{url}: {e}"))?;
            answer.await?
        }
    };
    if response.status().is_success() { Ok(()) } else { Err(format!("{url}: {}", response.status())) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::ask_http;

    #[test]
    fn a_server_that_closes_right_after_its_answer_has_answered() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ready", listener.local_addr().unwrap());
        let answers = 50;
        let server = std::thread::spawn(move || {
            for _ in 0..answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..answers {
            assert_eq!(runtime.block_on(ask_http(&url)), Ok(()));
        }
        server.join().unwrap();
    }
}
