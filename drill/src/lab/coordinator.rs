//! What the candidates wrap: the words of a configuration for each workload, and what must be there before.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Volume;
use crate::history::Metadata;
use crate::workload::appender::journal;
use crate::workload::clients;
use crate::workload::postgresql::{Place, PostgreSql};

/// Which coordinator runs, and what clients ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// A small one, which notes everything.
    Appender,
    /// A real database.
    #[value(name = "postgresql")]
    PostgreSql,
}

impl Workload {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Appender => "appender",
            Self::PostgreSql => "postgresql",
        }
    }

    /// Where the coordinator listens, on its host's address.
    pub fn port(self) -> u16 {
        match self {
            Self::Appender => 7000,
            Self::PostgreSql => 5432,
        }
    }

    /// Which of the endpoints clients want.
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::Appender => "web",
            Self::PostgreSql => "sql",
        }
    }

    /// The clients' word for it.
    pub fn kind(self) -> clients::Kind {
        match self {
            Self::Appender => clients::Kind::Appender,
            Self::PostgreSql => clients::Kind::PostgreSql,
        }
    }

    /// How large its volume is.
    pub fn volume_mebibytes(self) -> u32 {
        match self {
            // A journal of half an hour: 200 marks a second, 60 bytes each, and the operations.
            Self::Appender => 128,
            Self::PostgreSql => 768,
        }
    }

    /// What must be there before the first start.
    pub fn prepare(self, scratch: &Path, volume: &Volume) -> Result<Prepared> {
        let ticks = ticks(scratch);
        fs::create_dir_all(&ticks)?;
        let drill = std::env::current_exe().context("cannot find this program")?;
        let data = volume.directory.join(self.name());
        let mut start = PathBuf::new();
        if self == Self::PostgreSql {
            // The account that it runs under writes there, too.
            fs::set_permissions(&ticks, fs::Permissions::from_mode(0o1777))?;
            start = start_script(&drill).context("examples/postgresql/start is not above this program")?;
            PostgreSql::new(data.clone()).initialise().context("cannot make a database")?;
        }
        Ok(Prepared { workload: self, drill, ticks, data, start })
    }

    /// What the volume holds at the end, and sentences on what is odd about it.
    pub fn examine(self, volume: &Volume) -> Result<(Metadata, Vec<String>)> {
        let data = volume.directory.join(self.name());
        if self == Self::PostgreSql {
            return Ok((PostgreSql::new(data).examine()?, Vec::new()));
        }
        let examined = journal::examine(&data)?;
        Ok((examined.metadata, examined.suspicious))
    }
}

/// In the tree that this program was built from.
fn start_script(drill: &Path) -> Option<PathBuf> {
    drill.ancestors().map(|folder| folder.join("examples/postgresql/start")).find(|path| path.exists())
}

/// Where the coordinators tell of their lives: not on the volume, which breaks.
pub fn ticks(scratch: &Path) -> PathBuf {
    scratch.join("ticks")
}

/// A workload that may be started.
pub struct Prepared {
    workload: Workload,
    drill: PathBuf,
    ticks: PathBuf,
    data: PathBuf,
    start: PathBuf,
}

impl Prepared {
    /// The tables `coordinator` and `health` for the host at `address`.
    pub fn settings(&self, address: Ipv4Addr, port: u16) -> String {
        let listen = SocketAddr::from((address, port));
        // A crash is common here: with the pauses of a real installation a node would soon be out for a minute.
        let backoff = "backoff = { first = \"200ms\", max = \"1s\", reset = \"5s\" }\n";
        if self.workload == Workload::PostgreSql {
            let (start, drill, ticks) = (self.start.clone(), self.drill.clone(), self.ticks.clone());
            let settings = PostgreSql::new(self.data.clone()).settings(&Place { start, drill, ticks, listen });
            return settings.replacen("[coordinator]\n", &format!("[coordinator]\n{backoff}"), 1);
        }
        let [drill, ticks, data] = [&self.drill, &self.ticks, &self.data].map(|path| path.display().to_string());
        format!(
            "[coordinator]\ncommand = [{drill:?}, \"appender\", \"--journal\", {data:?}, \"--ticks\", {ticks:?}, \
             \"--listen\", \"{listen}\"]\nstop_timeout = \"10s\"\n{backoff}endpoints = {{ web = \"http://{listen}\" }}\n\n\
             [health]\nhttp = \"http://{listen}/\"\ninterval = \"500ms\"\ntimeout = \"1s\"\nfailures = 2\n\
             startup_timeout = \"20s\"\n"
        )
    }
}
