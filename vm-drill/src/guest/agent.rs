//! Runs shell commands: a connection carries one, ended by a NUL; what comes back is its output and `\n#code N\n`.
//!
//! Whoever reaches the management network is root here. That network is a bridge in a namespace of the drill's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

pub fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)?;
    loop {
        let Ok((connection, _)) = listener.accept() else { continue };
        std::thread::spawn(move || {
            // Who has gone needs no answer.
            let _ = answer(connection);
        });
    }
}

fn answer(mut connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let mut command = Vec::new();
    let mut byte = [0];
    while connection.read(&mut byte)? == 1 && byte != [0] {
        command.extend(byte);
    }
    let output = || -> std::io::Result<Stdio> { Ok(Stdio::from(OwnedFd::from(connection.try_clone()?))) };
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(String::from_utf8(command)?)
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .status()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    connection.write_all(format!("\n#code {code}\n").as_bytes())?;
    Ok(())
}
