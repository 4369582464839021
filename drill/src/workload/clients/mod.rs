//! Clients: each a thread that asks for one operation after the other, and writes down what it was told.
//!
//! An operation that was not acknowledged is tried again under the same id until it is, or until the clients are stopped.
//! It stands in the history once, from its first try to its last:
//!
//! - `ok`: acknowledged. It must be in the metadata, once.
//! - `unknown`: stopped while a try was unanswered, or was answered by anything but a yes. It may be there, at most once.
//! - `refused`: stopped, and every try was refused before it could have had an effect. It must not be there.
//!
//! The tries that failed in a row are one `client_outage`: what a user of the service would have seen.
//! Half of the clients may go through a proxy and half find the active node by themselves, as in real life.
//!
//! They run as a process of their own, for they live in another network namespace than the runner; their lines go to a
//! file which the runner merges.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::stop;
use crate::history::{Entry, Line, Outcome};
use testbed::clock;

mod increment;
mod insert;
mod leader;

use leader::Route;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Appender,
    #[value(name = "postgresql")]
    PostgreSql,
}

/// What `drill clients` is told; [`ClientPlan::arguments`] and clap agree on the words.
///
/// `threads` × (1 s ÷ `pause_ms`) operations a second at most, each a line of about 150 bytes: 4 threads and 100 ms make
/// 40 a second, 11 MB in half an hour.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ClientPlan {
    /// File to which the history's lines are appended.
    #[arg(long)]
    pub history: PathBuf,
    #[arg(long, value_enum)]
    pub workload: Kind,
    /// Ids begin with it: unique among all that write to one volume. Letters, digits, '-', '_', '.'; at most 32.
    #[arg(long, default_value = "op")]
    pub prefix: String,
    #[arg(long, default_value_t = 4)]
    pub threads: u16,
    /// Between two tries of a thread.
    #[arg(long, default_value_t = 100)]
    pub pause_ms: u64,
    /// An answer that takes longer is none.
    #[arg(long, default_value_t = 1000)]
    pub timeout_ms: u64,
    /// The candidates' API URLs: the active one's endpoint is asked from them.
    #[arg(long, value_delimiter = ',')]
    pub apis: Vec<String>,
    /// Which of `coordinator.endpoints`.
    #[arg(long, default_value = "web")]
    pub endpoint: String,
    /// A proxy's address that leads to the active coordinator. With --apis too, every other thread uses it.
    #[arg(long)]
    pub through: Option<SocketAddr>,
}

impl ClientPlan {
    /// The arguments after the program's name.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["clients".into(), "--history".into(), self.history.clone().into()];
        let workload = match self.workload {
            Kind::Appender => "appender",
            Kind::PostgreSql => "postgresql",
        };
        let mut add = |name: &str, value: &str| arguments.extend([name.into(), value.into()]);
        add("--workload", workload);
        add("--prefix", &self.prefix);
        add("--threads", &self.threads.to_string());
        add("--pause-ms", &self.pause_ms.to_string());
        add("--timeout-ms", &self.timeout_ms.to_string());
        add("--endpoint", &self.endpoint);
        if !self.apis.is_empty() {
            add("--apis", &self.apis.join(","));
        }
        if let Some(through) = self.through {
            add("--through", &through.to_string());
        }
        arguments
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    fn route(&self, thread: u16) -> Route {
        match self.through {
            Some(proxy) if self.apis.is_empty() || thread % 2 == 1 => Route::Through(proxy.to_string()),
            _ => Route::by_asking(&self.apis, &self.endpoint),
        }
    }
}

/// One try.
enum Attempt {
    Ok,
    /// Certainly without effect.
    Refused(String),
    Unknown(String),
}

trait Target {
    /// What the history calls it.
    fn what(&self) -> &'static str;
    /// Does not block for much longer than the plan's time-out.
    fn attempt(&mut self, op: &str, value: i64) -> Attempt;
}

/// Until SIGTERM. Every line that was begun is written before it returns.
pub fn run(plan: &ClientPlan) -> Result<()> {
    if plan.apis.is_empty() && plan.through.is_none() {
        bail!("where to? give --apis or --through");
    }
    let signals = stop::block()?;
    let file = OpenOptions::new().create(true).append(true).open(&plan.history);
    let file = file.with_context(|| format!("cannot open {}", plan.history.display()))?;
    let notebook = Arc::new(Notebook(Mutex::new(file)));
    let (mut stops, mut threads) = (Vec::new(), Vec::new());
    for thread in 0..plan.threads {
        let (stop, stopped) = mpsc::channel::<()>();
        stops.push(stop);
        let (plan, notebook) = (plan.clone(), notebook.clone());
        let work = move || -> Result<()> {
            let target: Box<dyn Target> = match plan.workload {
                Kind::Appender => Box::new(increment::Increments::new(plan.route(thread), plan.timeout())),
                Kind::PostgreSql => Box::new(insert::Inserts::new(plan.route(thread), plan.timeout())?),
            };
            Client { plan, thread, target, notebook, pause: stopped, outage: None }.run()
        };
        let builder = std::thread::Builder::new().name(format!("client {thread}"));
        threads.push(builder.spawn(work).context("cannot start a thread")?);
    }
    stop::at_signal(signals, move || drop(stops))?;
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a client thread panicked"))??;
    }
    Ok(())
}

/// The file, shared by the threads. A line is one write.
struct Notebook(Mutex<File>);

impl Notebook {
    fn write(&self, entry: Entry) -> Result<()> {
        let mut line = serde_json::to_vec(&Line { at: clock::now(), entry })?;
        line.push(b'\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line).context("cannot write the history")
    }
}

struct Outage {
    begin: u64,
    failures: u64,
    error: String,
}

struct Client {
    plan: ClientPlan,
    thread: u16,
    target: Box<dyn Target>,
    notebook: Arc<Notebook>,
    /// Ends when the clients are to stop.
    pause: mpsc::Receiver<()>,
    outage: Option<Outage>,
}

impl Client {
    fn run(mut self) -> Result<()> {
        for value in 0.. {
            if !self.one(value)? || !self.goes_on() {
                break;
            }
        }
        Ok(())
    }

    /// An operation to its end. False: stopped.
    fn one(&mut self, value: i64) -> Result<bool> {
        let op = format!("{}-{}-{value}", self.plan.prefix, self.thread);
        let begin = clock::now();
        let mut may_have_happened = false;
        loop {
            let tried = clock::now();
            let error = match self.target.attempt(&op, value) {
                Attempt::Ok => {
                    self.end_outage()?;
                    self.note(&op, value, begin, Outcome::Ok)?;
                    return Ok(true);
                }
                Attempt::Refused(error) => error,
                Attempt::Unknown(error) => {
                    may_have_happened = true;
                    error
                }
            };
            self.outage.get_or_insert(Outage { begin: tried, failures: 0, error }).failures += 1;
            if !self.goes_on() {
                let result = if may_have_happened { Outcome::Unknown } else { Outcome::Refused };
                self.end_outage()?;
                self.note(&op, value, begin, result)?;
                return Ok(false);
            }
        }
    }

    /// After a pause.
    fn goes_on(&self) -> bool {
        self.pause.recv_timeout(Duration::from_millis(self.plan.pause_ms)) == Err(RecvTimeoutError::Timeout)
    }

    fn note(&self, op: &str, value: i64, begin: u64, result: Outcome) -> Result<()> {
        let (op, what) = (op.to_owned(), self.target.what().to_owned());
        self.notebook.write(Entry::Client { op, what, value: Some(value), result, begin, end: clock::now() })
    }

    fn end_outage(&mut self) -> Result<()> {
        let Some(Outage { begin, failures, error }) = self.outage.take() else { return Ok(()) };
        self.notebook.write(Entry::ClientOutage { begin, end: clock::now(), failures, error })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        command: super::super::Command,
    }

    fn plan() -> ClientPlan {
        ClientPlan {
            history: "clients.jsonl".into(),
            workload: Kind::PostgreSql,
            prefix: "r1".to_owned(),
            threads: 3,
            pause_ms: 7,
            timeout_ms: 500,
            apis: vec!["http://10.0.0.1:9090".to_owned(), "http://10.0.0.2:9090".to_owned()],
            endpoint: "sql".to_owned(),
            through: Some("10.0.0.9:5432".parse().unwrap()),
        }
    }

    #[test]
    fn a_plan_survives_the_command_line() {
        for plan in [plan(), ClientPlan { apis: Vec::new(), ..plan() }, ClientPlan { through: None, ..plan() }] {
            let arguments = std::iter::once("drill".into()).chain(plan.arguments());
            let super::super::Command::Clients(parsed) = Program::try_parse_from(arguments).unwrap().command else {
                panic!("another subcommand");
            };
            assert_eq!(parsed, plan);
        }
    }

    #[test]
    fn with_both_ways_every_other_thread_takes_the_proxy() {
        let through = |plan: &ClientPlan| -> Vec<bool> {
            (0..3).map(|thread| matches!(plan.route(thread), Route::Through(_))).collect()
        };
        assert_eq!(through(&plan()), [false, true, false]);
        assert_eq!(through(&ClientPlan { apis: Vec::new(), ..plan() }), [true; 3]);
        assert_eq!(through(&ClientPlan { through: None, ..plan() }), [false; 3]);
    }

    /// Answers from a list.
    struct Scripted(Vec<Attempt>);

    impl Target for Scripted {
        fn what(&self) -> &'static str {
            "increment"
        }

        fn attempt(&mut self, _op: &str, _value: i64) -> Attempt {
            self.0.remove(0)
        }
    }

    fn entries(attempts: Vec<Attempt>, stopped_at_once: bool) -> Vec<Entry> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let notebook = Arc::new(Notebook(Mutex::new(file.reopen().unwrap())));
        let (stop, pause) = mpsc::channel();
        if stopped_at_once {
            drop(stop);
        } else {
            // Kept to the end of the test.
            Box::leak(Box::new(stop));
        }
        let plan = ClientPlan { pause_ms: 0, ..plan() };
        let mut client =
            Client { plan, thread: 1, target: Box::new(Scripted(attempts)), notebook, pause, outage: None };
        client.one(5).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        text.lines().map(|line| serde_json::from_str::<Line>(line).unwrap().entry).collect()
    }

    #[test]
    fn failures_in_a_row_are_one_outage_and_the_operation_is_noted_once() {
        let attempts =
            vec![Attempt::Refused("refused".to_owned()), Attempt::Unknown("timeout".to_owned()), Attempt::Ok];
        let entries = entries(attempts, false);
        let [Entry::ClientOutage { begin, end, failures: 2, error }, Entry::Client { op, result: Outcome::Ok, .. }] =
            &entries[..]
        else {
            panic!("{entries:?}");
        };
        assert!(begin <= end && error == "refused" && op == "r1-1-5");
    }

    #[test]
    fn an_operation_that_may_have_happened_is_never_called_refused() {
        for (attempt, expected) in
            [(Attempt::Refused(String::new()), Outcome::Refused), (Attempt::Unknown(String::new()), Outcome::Unknown)]
        {
            let entries = entries(vec![attempt], true);
            assert!(matches!(&entries[1], Entry::Client { result, .. } if *result == expected), "{entries:?}");
        }
    }
}
