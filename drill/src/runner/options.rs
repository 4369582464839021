//! What may be asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::lab::Workload;
use crate::nemesis::{Kind, kinds};

/// `drill run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Decides which faults, upon whom, when, how long.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long faults go on.
    #[arg(long, default_value_t = 5)]
    pub minutes: u64,
    /// End after so many faults, if the time is not over before.
    #[arg(long)]
    pub faults: Option<u32>,
    /// Candidates.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=5))]
    pub nodes: u8,
    /// What is supervised.
    #[arg(long, value_enum, default_value = "appender")]
    pub workload: Workload,
    /// ZooKeeper's session timeout: 2s, 4s, 1500ms.
    #[arg(long, default_value = "4s", value_parser = duration)]
    session: Duration,
    /// ZooKeeper's tickTime.
    #[arg(long, default_value = "500ms", value_parser = duration)]
    tick: Duration,
    /// Only these kinds of fault, separated by commas; see `drill list`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Not these kinds of fault.
    #[arg(long, value_delimiter = ',')]
    except: Vec<String>,
    /// Where history, logs and report go; must not hold a history. Default: drill-runs/SEED-TIME.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The binary under test. Default: beside this one.
    #[arg(long, env = "DRILL_PRIMACY")]
    primacy: Option<PathBuf>,
    /// A dozen cheap kinds, once each.
    #[arg(long)]
    pub fixed_set: bool,
}

/// Which kinds a run draws from.
pub struct Kinds {
    /// In the order of the list.
    pub chosen: Vec<&'static Kind>,
    /// What was wanted and cannot be provoked here, and why.
    pub left_out: Vec<(&'static str, String)>,
}

impl Options {
    /// ZooKeeper's session timeout.
    pub fn session(&self) -> Duration {
        self.session
    }

    /// ZooKeeper's tickTime.
    pub fn tick(&self) -> Duration {
        self.tick
    }

    /// How long faults go on.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }

    /// An absolute path: hosts have the same files, but not this process's folder for ever.
    pub fn out(&self) -> Result<PathBuf> {
        let chosen = self.out.clone().unwrap_or_else(|| {
            PathBuf::from("drill-runs").join(format!("{}-{}", self.seed, testbed::clock::now() / 1_000_000_000))
        });
        std::path::absolute(&chosen).with_context(|| format!("cannot find {}", chosen.display()))
    }

    /// The binary under test.
    pub fn primacy(&self) -> Result<PathBuf> {
        let path = match &self.primacy {
            Some(path) => path.clone(),
            None => std::env::current_exe().context("cannot find this program")?.with_file_name("primacy"),
        };
        path.canonicalize().with_context(|| format!("no primacy at {}: build it, or say --primacy", path.display()))
    }

    /// Of which kinds the schedule is made.
    pub fn kinds(&self) -> Result<Kinds> {
        for name in self.only.iter().chain(&self.except) {
            if kinds::find(name).is_none() {
                bail!("there is no fault {name}; see drill list");
            }
        }
        let wanted = |kind: &&Kind| {
            let named = |names: &[String]| names.iter().any(|name| name == kind.name);
            let by_name = if self.fixed_set && self.only.is_empty() {
                kinds::FIXED_SET.contains(&kind.name)
            } else {
                self.only.is_empty() || named(&self.only)
            };
            by_name && !named(&self.except)
        };
        let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
        for kind in kinds::KINDS.iter().filter(wanted) {
            match kind.needs.missing() {
                None => chosen.push(kind),
                Some(why) => left_out.push((kind.name, why)),
            }
        }
        if chosen.is_empty() {
            bail!("no kind of fault is left");
        }
        Ok(Kinds { chosen, left_out })
    }
}

fn duration(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let number: u64 = digits.parse().with_context(|| format!("{text} is not a duration such as 4s or 500ms"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        unit => bail!("\"{unit}\" is not a unit of time: s or ms"),
    }
}
