//! Commands on a machine by way of ssh: one root shell that stays.
//!
//! A log-in takes seconds where machines are emulated and starved, and a drill gives dozens of orders. So ssh is started
//! once for each machine and its shell is told one command after the other; a mark in its output ends each. Rejected:
//! ssh's own ControlMaster, which saves the handshake, but starts a session, sudo and a shell for every command; an agent
//! as in QEMU's machines, which would be an open door to root on whatever network Vagrant has made.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use drill::hosts::Answer;

use crate::clock;

pub struct Shell {
    name: String,
    /// What `vagrant ssh-config` said.
    config: PathBuf,
    log: PathBuf,
    link: Mutex<Option<Link>>,
}

struct Link {
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    count: u64,
}

impl Shell {
    pub fn new(name: &str, config: PathBuf, log: PathBuf) -> Self {
        Self { name: name.to_owned(), config, log, link: Mutex::new(None) }
    }

    pub fn run(&self, command: &str, limit: Duration) -> Result<Answer> {
        let mut place = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let link = match place.as_mut() {
            Some(link) => link,
            None => place.insert(self.connect()?),
        };
        let answer = link.exchange(command, limit).with_context(|| format!("`{command}`"));
        if answer.is_err() {
            // Whatever it says from here on would be taken for the next command's.
            *place = None;
        }
        answer
    }

    /// Ends the connection's own end; the other one may have vanished.
    pub fn forget(&self) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn connect(&self) -> Result<Link> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut child = Command::new("ssh")
            .args(["-T", "-oConnectTimeout=10", "-oLogLevel=ERROR", "-oBatchMode=yes", "-F"])
            .arg(&self.config)
            .args([&self.name, "sudo bash"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // An interrupt at the terminal is the drill's to handle.
            .process_group(0)
            .spawn()
            .context("ssh")?;
        let input = child.stdin.take().context("ssh has no input")?;
        let mut stdout = child.stdout.take().context("ssh has no output")?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 16384];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Link { child, input, output, count: 0 })
    }
}

impl Link {
    fn exchange(&mut self, command: &str, limit: Duration) -> Result<Answer> {
        self.count += 1;
        let (number, mark) = (self.count, format!("\n#end-{} ", self.count));
        let text = format!(
            "bash 2>&1 <<'END-{number}'\n{command}\nEND-{number}\ncode=$?; echo; echo \"{}$code\"\n",
            mark.trim_start()
        );
        self.input.write_all(text.as_bytes()).context("ssh ended")?;
        let (until, mut bytes) = (clock::now() + limit, Vec::new());
        loop {
            match self.output.recv_timeout(until.saturating_sub(clock::now())) {
                Ok(part) => bytes.extend(part),
                Err(RecvTimeoutError::Timeout) => bail!("has not ended after {limit:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the connection ended: {}", String::from_utf8_lossy(&bytes).trim())
                }
            }
            if let Some(answer) = complete(&String::from_utf8_lossy(&bytes), &mark) {
                return answer;
            }
        }
    }
}

/// The output up to the mark, once the code behind it is there as a whole.
fn complete(text: &str, mark: &str) -> Option<Result<Answer>> {
    let (text, code) = text.rsplit_once(mark)?;
    let code = code.strip_suffix('\n')?;
    Some(code.parse().map(|code| Answer { code, text: text.trim().to_owned() }).context("not an exit code"))
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_the_line_of_its_own_mark() {
        let mark = "\n#end-2 ";
        assert!(complete("out\n\n#end-1 0\n", mark).is_none());
        assert!(complete("out\n\n#end-2 1", mark).is_none());
        let answer = complete("out\n\n#end-2 17\n", mark).unwrap().unwrap();
        assert_eq!((answer.code, answer.text.as_str()), (17, "out"));
        assert_eq!(complete("\n#end-2 0\n", mark).unwrap().unwrap().text, "");
    }
}
