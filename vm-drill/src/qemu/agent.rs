//! The drill's end of a machine's agent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use drill::hosts::Answer;

use crate::clock;

const PORT: u16 = 99;
const CONNECT: Duration = Duration::from_secs(2);

/// Runs a shell command and waits for its end.
pub fn run(address: Ipv4Addr, command: &str, limit: Duration) -> Result<Answer> {
    let mut connection = connect(address, command)?;
    let until = clock::now() + limit;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        let left = until.saturating_sub(clock::now());
        if left.is_zero() {
            bail!("{address}: `{command}` has not ended after {limit:?}");
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend(&buffer[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).with_context(|| format!("{address}: `{command}`")),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (text, code) = text.rsplit_once("\n#code ").with_context(|| format!("{address}: `{command}` was cut off"))?;
    Ok(Answer { code: code.trim().parse()?, text: text.trim().to_owned() })
}

/// Starts a command that stays. What it prints goes to `log`, each line with the moment of its arrival, until the machine
/// is gone.
pub fn start(address: Ipv4Addr, command: &str, log: &Path) -> Result<()> {
    let connection = connect(address, command)?;
    let mut log = File::options().create(true).append(true).open(log)?;
    std::thread::spawn(move || {
        for line in BufReader::new(connection).lines() {
            let Ok(line) = line else { break };
            // A full disk must not end the machine's command by a blocked pipe.
            let _ = writeln!(log, "{:12.3} {line}", clock::now().as_secs_f64());
        }
    });
    Ok(())
}

fn connect(address: Ipv4Addr, command: &str) -> Result<TcpStream> {
    let address = SocketAddr::from((address, PORT));
    let mut connection =
        TcpStream::connect_timeout(&address, CONNECT).with_context(|| format!("agent at {address}"))?;
    connection.set_nodelay(true)?;
    connection.write_all(command.as_bytes())?;
    connection.write_all(&[0])?;
    Ok(connection)
}
