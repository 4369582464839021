//! PostgreSQL as the coordinator: its data directory on the shared volume, one postmaster at a time.
//!
//! What operators get is what is drilled: `examples/postgresql/start` starts it (below `drill ticking`, so that its life is
//! on record), and its settings are those of docs/postgresql.md. What stands here is only what a drill adds: a database
//! that any client on the lab's network may write to, and the examination at the end.
//!
//! Each row says who wrote it (`primacy.epoch`, `primacy.node`, `primacy.pid`, which the start script sets), in the order
//! of a sequence. So the table is a journal, too: sequences survive crashes by jumping ahead, never back, and a row of an
//! older epoch after one of a younger is a write that came too late.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};

use crate::history::{Amcheck, JournalRun, Metadata};

/// Where Debian puts it.
pub const BIN: &str = "/usr/lib/postgresql/15/bin";

/// The operating system's account: PostgreSQL refuses to run as root.
pub const ACCOUNT: &str = "postgres";

/// The clients'. No password is asked of it: the lab's network is the lab's alone.
pub const CLIENT_ROLE: &str = "drill";
pub const DATABASE: &str = "postgres";

const TABLE: &str = "\
CREATE ROLE drill LOGIN;
CREATE TABLE operations (id text PRIMARY KEY, at bigint NOT NULL, n bigserial, \
 epoch bigint NOT NULL DEFAULT current_setting('primacy.epoch')::bigint, \
 node text NOT NULL DEFAULT current_setting('primacy.node'), \
 pid bigint NOT NULL DEFAULT current_setting('primacy.pid')::bigint);
GRANT INSERT, SELECT ON operations TO drill;
GRANT USAGE ON SEQUENCE operations_n_seq TO drill;
";

/// Read from the heap, not from the index: a row that stands there twice must show twice.
const ROWS: &str = "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; \
 SELECT id, at, epoch, node, pid FROM operations ORDER BY n";

/// Recovery after a kill replays at most `max_wal_size` of WAL.
const STARTED_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A database cluster in `data`.
#[derive(Clone, Debug)]
pub struct PostgreSql {
    pub bin: PathBuf,
    pub data: PathBuf,
}

/// What one node's configuration says of its coordinator.
#[derive(Clone, Debug)]
pub struct Place {
    /// examples/postgresql/start
    pub start: PathBuf,
    /// This program, for `ticking`.
    pub drill: PathBuf,
    /// Local, and writable for [`ACCOUNT`].
    pub ticks: PathBuf,
    /// Where clients reach it.
    pub listen: SocketAddr,
}

impl PostgreSql {
    pub fn new(data: PathBuf) -> Self {
        Self { bin: BIN.into(), data }
    }

    /// initdb, once in the life of a volume, and the table. Nothing of it runs afterwards.
    pub fn initialise(&self) -> Result<()> {
        fs::create_dir_all(&self.data).with_context(|| format!("cannot make {}", self.data.display()))?;
        if let Some(account) = account()? {
            chown(&self.data, Some(account.uid), Some(account.gid)).context("cannot give the data away")?;
        }
        let mut initdb = self.program("initdb")?;
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"]);
        finished(initdb.arg("-D").arg(&self.data))?;
        let mut rules = fs::OpenOptions::new().append(true).open(self.data.join("pg_hba.conf"))?;
        writeln!(rules, "host {DATABASE} {CLIENT_ROLE} all trust")?;
        // Single-user mode: no server, no port, no waiting. A line is a command.
        let mut single = self.program("postgres")?;
        single.args(["--single", "-j", "-c", "exit_on_error=on", "-D"]).arg(&self.data).arg(DATABASE);
        let mut child = single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let statements = TABLE.replace(";\n", ";\n\n");
        child.stdin.take().context("no standard input")?.write_all(statements.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "the table was not made: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The tables `[coordinator]` and `[health]` of a node's primacy.toml.
    pub fn settings(&self, place: &Place) -> String {
        let text = |path: &Path| serde_json::Value::from(path.display().to_string()).to_string();
        let (listen, port) = (place.listen.ip(), place.listen.port());
        let Place { start, drill, ticks, .. } = place;
        let user = if Uid::effective().is_root() { format!("user = \"{ACCOUNT}\"\n") } else { String::new() };
        // Without sockets in the file system: the hosts of a lab may share one.
        format!(
            r#"[coordinator]
command = [{drill}, "ticking", "--ticks", {ticks}, "--", {start}, {data}, "-c", "listen_addresses={listen}", "-c", "port={port}", "-c", "unix_socket_directories="]
{user}stop_signal = "SIGINT"
stop_timeout = "60s"
restarts = {{ max = 0, within = "10m" }}
endpoints = {{ sql = "{listen}:{port}" }}

[health]
command = [{ready}, "-q", "-h", "{listen}", "-p", "{port}", "-U", "{CLIENT_ROLE}", "-d", "{DATABASE}", "-t", "1"]
startup_timeout = "2m"
interval = "1s"
timeout = "2s"
failures = 3
"#,
            drill = text(drill),
            ticks = text(ticks),
            start = text(start),
            data = text(&self.data),
            ready = text(&self.bin.join("pg_isready")),
        )
    }

    /// What the database holds and how sound it is. Nothing else of it may run: the cluster is down.
    ///
    /// Starts it once (which recovers it after a kill), reads, has pg_amcheck compare every index with its heap, stops it,
    /// and has pg_checksums read every page. `exit` is that of the first of the two that was not content.
    pub fn examine(&self) -> Result<Metadata> {
        let scratch = tempfile::tempdir()?;
        if let Some(account) = account()? {
            chown(scratch.path(), Some(account.uid), Some(account.gid))?;
        }
        let mut server = self.start_alone(scratch.path())?;
        let examined = self.read(scratch.path());
        let stopped = server.stop();
        let (mut metadata, mut amcheck) = examined?;
        stopped?;
        let checksums = self.program("pg_checksums")?.arg("--check").arg("-D").arg(&self.data).output()?;
        amcheck.output += &words(&checksums);
        if amcheck.exit == 0 {
            amcheck.exit = checksums.status.code().unwrap_or(-1);
        }
        metadata.amcheck = Some(amcheck);
        Ok(metadata)
    }

    fn read(&self, socket: &Path) -> Result<(Metadata, Amcheck)> {
        let mut psql = self.program("psql")?;
        psql.args(["-X", "-q", "-A", "-t", "-F", " ", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]).arg(socket);
        let output = finished(psql.args(["-d", DATABASE, "-c", ROWS]))?;
        let metadata = fold(&String::from_utf8(output.stdout)?)?;
        let mut check = self.program("pg_amcheck")?;
        check.args(["--all", "--heapallindexed", "--parent-check", "--install-missing", "-U", "postgres", "-h"]);
        let output = check.arg(socket).output().context("cannot run pg_amcheck")?;
        Ok((metadata, Amcheck { exit: output.status.code().unwrap_or(-1), output: words(&output) }))
    }

    fn start_alone(&self, socket: &Path) -> Result<Server> {
        self.remove_stale_pid()?;
        let log = socket.join("log");
        let mut postgres = self.program("postgres")?;
        postgres.arg("-D").arg(&self.data).arg("-k").arg(socket);
        // Nobody but the examination gets in. The table's defaults want the settings to exist.
        postgres.args([
            "-c",
            "listen_addresses=",
            "-c",
            "primacy.epoch=0",
            "-c",
            "primacy.node=-",
            "-c",
            "primacy.pid=0",
        ]);
        let child = postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?).spawn()?;
        let mut server = Server(child);
        for _ in 0..STARTED_WITHIN.as_millis() / LOOK_AGAIN.as_millis() {
            let mut ready = self.program("pg_isready")?;
            if ready.args(["-q", "-t", "1", "-U", "postgres", "-h"]).arg(socket).status()?.success() {
                return Ok(server);
            }
            if let Some(status) = server.0.try_wait()? {
                bail!("PostgreSQL ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        bail!("PostgreSQL was not ready within {STARTED_WITHIN:?}: {}", fs::read_to_string(&log).unwrap_or_default())
    }

    /// A killed postmaster's file names a pid that may be anybody's by now. Whoever runs in the data directory is one.
    fn remove_stale_pid(&self) -> Result<()> {
        let file = self.data.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
        let pid = text.lines().next().unwrap_or_default().trim();
        let at = fs::read_link(format!("/proc/{pid}/cwd"));
        ensure!(!at.is_ok_and(|at| at == self.data), "PostgreSQL still runs (pid {pid}): stop the cluster first");
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
    }

    /// One of PostgreSQL's programs, as the account that owns the data.
    fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(self.bin.join(name));
        command.env("LC_ALL", "C").current_dir("/");
        if let Some(account) = account()? {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        Ok(command)
    }
}

/// None: this process need not change its own.
fn account() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name(ACCOUNT)?;
    Ok(Some(user.with_context(|| format!("there is no user {ACCOUNT}: install PostgreSQL"))?))
}

/// A child that is killed, should anything go wrong here.
struct Server(Child);

impl Server {
    /// Fast shutdown, with a checkpoint: what follows may look at the files.
    fn stop(&mut self) -> Result<()> {
        kill(Pid::from_raw(self.0.id().try_into()?), Signal::SIGINT)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "PostgreSQL ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to do if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn finished(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{} failed: {}", command.get_program().display(), words(&output));
    Ok(output)
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Rows `id at epoch node pid` to what the judge reads. Sequences are counted, for the database's have holes by design.
fn fold(rows: &str) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    for row in rows.lines() {
        let fields: Vec<&str> = row.split(' ').collect();
        let [id, at, epoch, node, pid] = fields[..] else { bail!("\"{row}\" is no row") };
        let (at, epoch, pid) = (at.parse()?, epoch.parse()?, pid.parse()?);
        metadata.applied.push(id.to_owned());
        match metadata.journal.last_mut() {
            Some(run) if run.epoch == epoch && run.node == node && run.pid == pid => {
                run.last_sequence += 1;
                run.begin = run.begin.min(at);
                run.end = run.end.max(at);
            }
            _ => {
                let node = node.to_owned();
                let (first_sequence, last_sequence) = (1, 1);
                metadata.journal.push(JournalRun {
                    epoch,
                    node,
                    pid,
                    first_sequence,
                    last_sequence,
                    begin: at,
                    end: at,
                });
            }
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_folded_in_their_order_and_an_older_epoch_that_comes_back_stands_out() {
        let metadata = fold("c-1 10 1 a 5\nc-2 9 1 a 5\nc-3 30 2 b 6\nc-3 31 1 a 5\n").unwrap();
        assert_eq!(metadata.applied, ["c-1", "c-2", "c-3", "c-3"]);
        let runs: Vec<_> =
            metadata.journal.iter().map(|run| (run.epoch, run.last_sequence, run.begin, run.end)).collect();
        assert_eq!(runs, [(1, 2, 9, 10), (2, 1, 30, 30), (1, 1, 31, 31)]);
        assert!(fold("c-1 10 1").is_err());
    }
}
