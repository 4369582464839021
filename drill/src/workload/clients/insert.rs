//! PostgreSQL's client: a row per transaction.
//!
//! `ON CONFLICT DO NOTHING` makes a repeated id harmless, and its success means as much as that of the first: a row that
//! conflicts is visible, and with `synchronous_commit = on` a row becomes visible only after its commit was flushed.
//!
//! The only asynchronous corner of the drill: the synchronous client waits without a limit for an answer that a frozen
//! server does not give.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::leader::Route;
use super::{Attempt, Target};
use crate::workload::postgresql::{CLIENT_ROLE, DATABASE};
use testbed::clock;

const INSERT: &str = "INSERT INTO operations (id, at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";

pub struct Inserts {
    route: Route,
    timeout: Duration,
    runtime: Runtime,
    session: Option<(Client, Statement)>,
}

impl Inserts {
    pub fn new(route: Route, timeout: Duration) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot build a runtime")?;
        Ok(Self { route, timeout, runtime, session: None })
    }

    /// Nothing that goes wrong here can have had an effect.
    fn connect(&mut self) -> Result<(Client, Statement), String> {
        let address = self.route.find().ok_or("nobody is known to be active")?;
        let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("{address} is not host:port"))?;
        let port = port.parse().map_err(|_| format!("{address} is not host:port"))?;
        let mut config = Config::new();
        config.host(host).port(port).user(CLIENT_ROLE).dbname(DATABASE).application_name("drill");
        let connecting = async {
            let (client, connection) = config.connect(NoTls).await?;
            // Its end shows in the client, too.
            tokio::spawn(connection);
            let statement = client.prepare(INSERT).await?;
            Ok::<_, tokio_postgres::Error>((client, statement))
        };
        match self.runtime.block_on(async { timeout(self.timeout, connecting).await }) {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err("timeout while connecting".to_owned()),
        }
    }
}

/// The error with its cause: "db error" alone says nothing.
fn explain(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

impl Target for Inserts {
    fn what(&self) -> &'static str {
        "insert"
    }

    fn attempt(&mut self, op: &str, _value: i64) -> Attempt {
        let session = match self.session.take() {
            Some(session) => Ok(session),
            None => self.connect(),
        };
        let (client, statement) = match session {
            Ok(session) => session,
            Err(error) => {
                self.route.forget();
                return Attempt::Refused(error);
            }
        };
        let at = i64::try_from(clock::now()).unwrap_or(i64::MAX);
        let inserting = async { timeout(self.timeout, client.execute(&statement, &[&op, &at])).await };
        let error = match self.runtime.block_on(inserting) {
            Ok(Ok(_)) => {
                self.session = Some((client, statement));
                return Attempt::Ok;
            }
            Ok(Err(error)) => explain(&error),
            Err(_) => "timeout".to_owned(),
        };
        // The session goes with its connection, or with what it still waits for.
        drop((client, statement));
        self.route.forget();
        Attempt::Unknown(error)
    }
}
