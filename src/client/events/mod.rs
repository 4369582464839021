//! `primacy events`: what changes, from the members' APIs, one after the other: the next one goes on where one is lost.
//!
//! A thread of its own reads each stream, for a host that dies says nothing and no read of its ends in time; what has not
//! given a sign of life is left to that thread. Whoever goes on is asked for what came after the last event; another member tells
//! its whole state, of which only what differs is news: [`known`].

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::client::api::{Api, explain};
use crate::client::commands::{Outcome, unprinted};
use crate::client::{Access, Client, Error};
use crate::output;
use crate::status::changes::News;

use known::Known;
use parse::Parser;

mod known;
mod parse;

/// A member gives a sign of life every five seconds.
const SILENCE: Duration = Duration::from_secs(12);

/// Until everybody is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Bytes of a line at most: an event is one.
const LONGEST_LINE: u64 = 4 << 20;

/// How they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A sentence a line
    #[default]
    Text,
    /// A JSON object a line: {"event":…,"data":{…}}
    Json,
}

/// `primacy events`. `access`: what is shown to the members.
pub fn events(client: &Client, access: Access, form: Form) -> Outcome {
    let given = match client {
        Client::Api(api) => api.urls().to_vec(),
        Client::ZooKeeper(_) => Vec::new(),
    };
    let api = Api::new(Vec::new(), access);
    let mut watch = Watch { known: Known::default(), last: None, form };
    let mut complained = false;
    loop {
        let mut problems = Vec::new();
        let mut heard = false;
        for url in urls(client, &given, &watch.known, &mut problems) {
            // One that ends in order after a while is asked again.
            loop {
                let before = watch.last.clone();
                let end = watch.follow(&api, &url);
                heard |= watch.last != before;
                match end {
                    End::Unprinted(error) => return unprinted(&error),
                    End::InOrder => complained = false,
                    End::Lost(problem) => {
                        problems.push(format!("{url}: {problem}"));
                        break;
                    }
                }
            }
        }
        if watch.known.is_empty() {
            let error = if problems.is_empty() { Error::NoApi } else { Error::NoAnswer(problems) };
            output::complain(&format!("primacy: {error}"));
            return Outcome::Unknown;
        }
        if !heard && !complained {
            output::complain(&format!("primacy: no API answers, trying again: {}", problems.join("; ")));
        }
        complained = !heard;
        std::thread::sleep(AGAIN);
    }
}

/// Whom to ask, those that were named first.
fn urls(client: &Client, given: &[String], known: &Known, problems: &mut Vec<String>) -> Vec<String> {
    let mut urls = given.to_vec();
    if let Client::ZooKeeper(_) = client {
        match client.cluster() {
            Ok(view) => urls.extend(view.members.into_iter().map(|member| member.row.api)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    urls.extend(known.apis());
    let mut seen = BTreeSet::new();
    urls.retain(|url| !url.is_empty() && seen.insert(url.trim_end_matches('/').to_owned()));
    urls
}

enum End {
    /// The member has ended the stream.
    InOrder,
    Lost(String),
    Unprinted(io::Error),
}

struct Watch {
    known: Known,
    /// The id of the last event.
    last: Option<String>,
    form: Form,
}

impl Watch {
    fn follow(&mut self, api: &Api, url: &str) -> End {
        let lines = match read(api, url, self.last.as_deref()) {
            Ok(lines) => lines,
            Err(error) => return End::Lost(error.to_string()),
        };
        let (mut parser, mut any) = (Parser::default(), false);
        loop {
            let line = match lines.recv_timeout(SILENCE) {
                Ok(Ok(line)) => line,
                Ok(Err(problem)) => return End::Lost(problem),
                Err(RecvTimeoutError::Timeout) => {
                    return End::Lost(format!("no sign of life for {} s", SILENCE.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) if any => return End::InOrder,
                Err(RecvTimeoutError::Disconnected) => return End::Lost("it ended at once".to_owned()),
            };
            let Some(told) = parser.line(&line) else { continue };
            any = true;
            match News::parse(&told.name, &told.data) {
                Ok(Some(news)) => {
                    for news in self.known.take(news, told.id.is_some()) {
                        if let Err(error) = output::print(&self.known.line(&news, self.form)) {
                            return End::Unprinted(error);
                        }
                    }
                }
                Ok(None) => {}
                Err(error) => return End::Lost(format!("an event is not understood: {error}")),
            }
            self.last = told.id.or(self.last.take());
        }
    }
}

/// The lines of the stream, without their ends, for as long as somebody wants them.
fn read(api: &Api, url: &str, after: Option<&str>) -> io::Result<mpsc::Receiver<Result<String, String>>> {
    let request = api.streaming(url, "/events", after);
    // Whoever reads slowly is not read for.
    let (sender, lines) = mpsc::sync_channel(64);
    std::thread::Builder::new().name("events".to_owned()).spawn(move || {
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return drop(sender.send(Err(explain(&error)))),
        };
        let mut reader = BufReader::new(response.into_body().into_reader());
        loop {
            let mut line = Vec::new();
            let line = match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()),
                Err(error) => Err(error.to_string()),
            };
            let last = line.is_err();
            if sender.send(line).is_err() || last {
                return;
            }
        }
    })?;
    Ok(lines)
}
