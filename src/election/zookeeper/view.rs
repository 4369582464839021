//! The cluster as ZooKeeper shows it: for the API, the web page and the preference among candidates. Nothing that
//! matters for safety is decided on it.
//!
//! Every node has a one-shot watch of its own (the server sets them again after a reconnect and reports what was missed;
//! persistent watchers lose it), so an idle cluster costs no requests.
//!
//! Who counts as active here: [`contents::active`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use zookeeper_client::{Client, Error, EventType, MultiReadResult, OneshotWatcher};

use super::candidacy::Seen;
use super::requests::before_retry;
use super::settings::Settings;
use crate::election::Fact;
use crate::intents::{Control, Intended, WantedState};
use crate::status::{Breadcrumb, ClusterView, HistoryEntry, Member, MemberRow};
use crate::zookeeper::contents::{self, shown};
use crate::zookeeper::known;
use crate::zookeeper::paths::Paths;

#[derive(Clone, Debug)]
enum Part {
    Members,
    Member(String),
    Known,
    /// One that is known and not a member.
    Absent(String),
    Active,
    Epoch,
    Control,
    States,
    State(String),
    History,
    /// One history entry: the newest ones are completed later.
    Entry(String),
}

impl Part {
    /// Whether a candidate looks at it: see [`Seen`].
    fn decides(&self) -> bool {
        matches!(self, Self::Control | Self::Members | Self::Member(_))
    }
}

enum Content {
    Data(Option<(Vec<u8>, Written)>),
    Names(Vec<String>),
    Entries(Vec<(String, Option<HistoryEntry>)>),
}

enum Step {
    Read {
        part: Part,
        content: Content,
        watcher: OneshotWatcher,
    },
    Changed(Part),
    /// It was noted that somebody has gone.
    Noted,
}

/// By which write a node's content came to be.
#[derive(Clone, Copy, Default)]
struct Written {
    version: i32,
    transaction: i64,
    /// When, by the servers' clock, in ms.
    at: i64,
}

type Steps<'a> = FuturesUnordered<BoxFuture<'a, Step>>;

/// How many of the newest history entries are watched: the lasting one, and the one before it, which its successor
/// completes.
const WATCHED_ENTRIES: usize = 2;

/// How long what has changed is left alone before it is read again. A server answers one request at a time as a rule, and
/// at a fail-over the next active's come first; a fail-over takes less.
const SETTLED: Duration = Duration::from_millis(50);

/// Follows the cluster for as long as the session lives, and reports every change.
pub async fn follow(
    client: Client,
    settings: &Settings,
    paths: &Paths,
    seen: &watch::Sender<Seen>,
    facts: &mpsc::UnboundedSender<Fact>,
) {
    let mut state = State::default();
    let mut steps = Steps::new();
    let mut reads = 0_usize;
    let mut wanted =
        vec![Part::Members, Part::Active, Part::Epoch, Part::Control, Part::States, Part::History, Part::Known];
    let (mut told_intended, mut told_cluster, mut told_history) = (None, None, None);
    loop {
        for part in wanted.drain(..) {
            reads += 1;
            steps.push(Box::pin(read(&client, paths, part)));
        }
        match steps.next().await {
            // Terminal: nothing is watched any more.
            None => std::future::pending().await,
            Some(Step::Changed(part)) => wanted.extend(Some(part).filter(|part| state.follows(part))),
            Some(Step::Noted) => continue,
            Some(Step::Read { part, content, watcher }) => {
                reads -= 1;
                wanted = state.take(&part, content);
                // Who is not here is only shown, and a fail-over comes first.
                for absent in wanted.extract_if(.., |part| matches!(part, Part::Absent(_))) {
                    steps.push(Box::pin(async move {
                        tokio::time::sleep(SETTLED).await;
                        Step::Changed(absent)
                    }));
                }
                for gone in state.gone(&settings.node) {
                    let client = &client;
                    steps.push(Box::pin(async move {
                        tokio::time::sleep(SETTLED).await;
                        known::note(client, paths, settings.access.digest.is_some(), &gone).await;
                        Step::Noted
                    }));
                }
                if state.follows(&part) {
                    steps.push(Box::pin(async move {
                        match watcher.changed().await.event_type {
                            EventType::Session => std::future::pending().await,
                            _ if part.decides() => Step::Changed(part),
                            _ => {
                                tokio::time::sleep(SETTLED).await;
                                Step::Changed(part)
                            }
                        }
                    }));
                }
            }
        }
        if reads > 0 || !wanted.is_empty() {
            continue;
        }
        seen.send_replace(state.seen());
        // First: who hears of the cluster may be about to act on it.
        if told_intended.as_ref() != Some(&state.intended) {
            let _ = facts.send(Fact::Intended(Box::new(state.intended.clone())));
            told_intended = Some(state.intended.clone());
        }
        let cluster = state.cluster(&settings.cluster);
        if told_cluster.as_ref() != Some(&cluster) {
            let _ = facts.send(Fact::Cluster(Box::new(cluster.clone())));
            told_cluster = Some(cluster);
        }
        let history = state.entries();
        if told_history.as_ref() != Some(&history) {
            let _ = facts.send(Fact::History(history.clone()));
            told_history = Some(history);
        }
    }
}

/// Reads one part and watches it; tries again until it succeeds.
async fn read(client: &Client, paths: &Paths, part: Part) -> Step {
    loop {
        let result = match &part {
            Part::Members => names(client, &paths.members).await,
            Part::Known => names(client, &paths.known).await,
            Part::Absent(node) => data(client, &paths.known_node(node)).await,
            Part::History => history(client, paths).await,
            Part::Member(node) => data(client, &paths.member(node)).await,
            Part::Entry(name) => data(client, &format!("{}/{name}", paths.history)).await,
            Part::Active => data(client, &paths.active).await,
            Part::Epoch => data(client, &paths.epoch).await,
            Part::Control => data(client, &paths.control).await,
            Part::States => names(client, &paths.states).await,
            Part::State(node) => data(client, &paths.state(node)).await,
        };
        match result {
            Ok((content, watcher)) => return Step::Read { part, content, watcher },
            Err(_) => before_retry(client).await,
        }
    }
}

/// The watch is set before the data is read, so no change falls between the two. It also tells of a creation.
async fn data(client: &Client, path: &str) -> Result<(Content, OneshotWatcher), Error> {
    let watch = client.check_and_watch_stat(path);
    let read = client.get_data(path);
    let (_, watcher) = watch.await?;
    match read.await {
        Ok((data, stat)) => {
            let written = Written { version: stat.version, transaction: stat.mzxid, at: stat.mtime };
            Ok((Content::Data(Some((data, written))), watcher))
        }
        Err(Error::NoNode) => Ok((Content::Data(None), watcher)),
        Err(error) => Err(error),
    }
}

async fn names(client: &Client, path: &str) -> Result<(Content, OneshotWatcher), Error> {
    match client.list_and_watch_children(path).await {
        Ok((names, watcher)) => Ok((Content::Names(names), watcher)),
        // The directory itself has vanished: wait until somebody creates it again.
        Err(Error::NoNode) => match client.check_and_watch_stat(path).await? {
            (None, watcher) => Ok((Content::Names(Vec::new()), watcher)),
            (Some(_), _) => Err(Error::NoNode),
        },
        Err(error) => Err(error),
    }
}

/// All entries in one request.
async fn history(client: &Client, paths: &Paths) -> Result<(Content, OneshotWatcher), Error> {
    let (content, watcher) = names(client, &paths.history).await?;
    let Content::Names(names) = content else { return Err(Error::NoNode) };
    let mut reader = client.new_multi_reader();
    for name in &names {
        reader.add_get_data(&format!("{}/{name}", paths.history))?;
    }
    let entries = names.into_iter().zip(reader.commit().await?).map(|(name, result)| match result {
        MultiReadResult::Data { data, .. } => {
            let entry = contents::entry(&name, &data);
            (name, entry)
        }
        _ => (name, None),
    });
    Ok((Content::Entries(entries.collect()), watcher))
}

#[derive(Default)]
struct State {
    /// By node; `None` while its content is unknown.
    members: BTreeMap<String, Option<Member>>,
    /// They have been read.
    listed: bool,
    known: BTreeSet<String>,
    /// Those that are no members; `None` while nothing more is known.
    absent: BTreeMap<String, Option<MemberRow>>,
    /// Members that have gone and have not been noted.
    gone: Vec<MemberRow>,
    active: Option<Breadcrumb>,
    epoch: Option<u64>,
    intended: Intended,
    history: BTreeMap<String, Option<HistoryEntry>>,
    watched_entries: BTreeSet<String>,
}

impl State {
    /// Takes in what was read; answers what has to be read because of it.
    fn take(&mut self, part: &Part, content: Content) -> Vec<Part> {
        match (part, content) {
            (Part::Members, Content::Names(names)) => {
                let names: BTreeSet<String> = names.into_iter().collect();
                let left: Vec<String> = self.members.keys().filter(|name| !names.contains(*name)).cloned().collect();
                left.iter().for_each(|name| self.leaves(name));
                let fresh: Vec<String> = names.into_iter().filter(|name| !self.members.contains_key(name)).collect();
                self.members.extend(fresh.iter().map(|name| (name.clone(), None)));
                self.listed = true;
                return fresh.into_iter().map(Part::Member).chain(self.missing()).collect();
            }
            (Part::Member(name), Content::Data(Some((data, _)))) => {
                self.members.insert(name.clone(), contents::member(name, &data));
            }
            (Part::Member(name), _) => {
                self.leaves(name);
                return self.missing();
            }
            (Part::Known, Content::Names(names)) => {
                self.known = names.into_iter().collect();
                return self.missing();
            }
            (Part::Absent(name), Content::Data(Some((data, written)))) if self.absent.contains_key(name) => {
                self.absent.insert(name.clone(), known::absent(name, &data, written.at));
            }
            (Part::Absent(name), Content::Data(None)) => {
                self.absent.remove(name);
            }
            (Part::Active, Content::Data(data)) => {
                self.active = data.and_then(|(data, _)| contents::breadcrumb(&data));
            }
            (Part::Epoch, Content::Data(data)) => {
                self.epoch = data.and_then(|(data, _)| contents::epoch(&data));
            }
            (Part::Control, Content::Data(read)) => {
                self.intended.control = Control::parse(read.as_ref().map(|(data, _)| data.as_slice()));
                self.intended.version = read.as_ref().map(|(_, written)| written.version);
                self.intended.written = read.map_or(0, |(_, written)| written.transaction);
            }
            (Part::States, Content::Names(names)) => {
                let names: BTreeSet<String> = names.into_iter().collect();
                self.intended.states.retain(|name, _| names.contains(name));
                let fresh = names.into_iter().filter(|name| !self.intended.states.contains_key(name));
                return fresh.map(Part::State).collect();
            }
            (Part::State(name), Content::Data(Some((data, written)))) => {
                self.intended.states.insert(name.clone(), (WantedState::parse(&data), written.version));
            }
            (Part::State(name), _) => {
                self.intended.states.remove(name);
            }
            (Part::History, Content::Entries(entries)) => {
                self.history = entries.into_iter().collect();
                let mut newest: Vec<String> = self.history.keys().cloned().collect();
                newest.sort_unstable_by(|a, b| contents::by_age(b).cmp(&contents::by_age(a)));
                newest.truncate(WATCHED_ENTRIES);
                let fresh: Vec<String> =
                    newest.into_iter().filter(|name| self.watched_entries.insert(name.clone())).collect();
                return fresh.into_iter().map(Part::Entry).collect();
            }
            (Part::Entry(name), Content::Data(Some((data, _)))) => {
                self.history.insert(name.clone(), contents::entry(name, &data));
            }
            (Part::Entry(name), _) => {
                self.history.remove(name);
                self.watched_entries.remove(name);
            }
            (
                Part::Members
                | Part::Known
                | Part::Absent(_)
                | Part::Active
                | Part::Epoch
                | Part::Control
                | Part::States
                | Part::History,
                _,
            ) => {}
        }
        Vec::new()
    }

    /// A member is no more.
    fn leaves(&mut self, name: &str) {
        self.gone.extend(self.members.remove(name).flatten().map(|member| member.row));
    }

    /// Who has gone and is to be noted by this node: nothing where another member comes before it.
    fn gone(&mut self, own: &str) -> Vec<MemberRow> {
        let gone = std::mem::take(&mut self.gone);
        let first = self.members.keys().next().is_some_and(|first| first == own);
        gone.into_iter().filter(|row| first && row.node != own).collect()
    }

    /// Who is known and no member, and has to be read for it.
    fn missing(&mut self) -> Vec<Part> {
        let Self { absent, known, members, .. } = self;
        absent.retain(|name, _| known.contains(name) && !members.contains_key(name));
        if !self.listed {
            return Vec::new();
        }
        let missing = known.iter().filter(|name| !members.contains_key(*name));
        let fresh: Vec<String> = missing.filter(|name| !absent.contains_key(*name)).cloned().collect();
        absent.extend(fresh.iter().map(|name| (name.clone(), None)));
        fresh.into_iter().map(Part::Absent).collect()
    }

    /// Whether a part is worth watching: a member that went is found through its directory when it comes back.
    fn follows(&self, part: &Part) -> bool {
        match part {
            Part::Member(name) => self.members.contains_key(name),
            Part::Entry(name) => self.history.contains_key(name),
            Part::State(name) => self.intended.states.contains_key(name),
            Part::Absent(name) => self.absent.contains_key(name),
            Part::Members | Part::Known | Part::Active | Part::Epoch | Part::Control | Part::States | Part::History => {
                true
            }
        }
    }

    fn seen(&self) -> Seen {
        let members =
            self.members.iter().filter_map(|(name, member)| member.clone().map(|member| (name.clone(), member)));
        let active = self.active.as_ref().filter(|active| !active.clean);
        Seen {
            paused: self.intended.control.paused.is_some(),
            control: self.intended.version,
            active: active.and_then(|active| Some((active.epoch, active.election_node.clone()?))),
            members: members.collect(),
        }
    }

    fn cluster(&self, cluster: &str) -> ClusterView<Member> {
        ClusterView {
            cluster: cluster.to_owned(),
            epoch: self.epoch,
            active: contents::active(self.active.as_ref(), |node| self.members.get(node)?.clone()),
            paused: self.intended.control.paused.is_some(),
            switchover: shown(self.intended.control.switchover.as_ref()),
            action: self.intended.action(),
            last_switchover: shown(self.intended.control.ended.as_ref()),
            members: self.members.values().flatten().cloned().collect(),
            absent: self.absent.values().flatten().cloned().collect(),
        }
    }

    fn entries(&self) -> Vec<HistoryEntry> {
        let mut entries: Vec<HistoryEntry> = self.history.values().flatten().cloned().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.epoch));
        entries
    }
}

#[cfg(any(test, fuzzing))]
pub mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(state: &mut State, names: &[&str]) -> Vec<Part> {
        state.take(&Part::Members, Content::Names(names.iter().map(|&name| name.to_owned()).collect()))
    }

    /// Of three nodes, all known.
    fn three() -> State {
        let mut state = State::default();
        let known = Content::Names(["a", "b", "c"].map(str::to_owned).to_vec());
        assert!(state.take(&Part::Known, known).is_empty(), "who is here is not read as one who is not");
        listed(&mut state, &["a", "b", "c"]);
        for node in ["a", "b", "c"] {
            let json = format!(
                r#"{{"node":"{node}","role":"standby","state":"ACTIVE","status":"STANDBY","epoch":null,"since":"s","ready":false,
                "api":"","priority":100,"version":"","eligible":true,"reason":""}}"#
            );
            state.take(&Part::Member(node.to_owned()), Content::Data(Some((json.into_bytes(), Written::default()))));
        }
        state
    }

    #[test]
    fn a_departure_is_noted_by_the_first_of_those_that_stay() {
        for (own, notes) in [("a", true), ("b", false)] {
            let mut state = three();
            let wanted = listed(&mut state, &["a", "b"]);
            assert!(matches!(&wanted[..], [Part::Absent(name)] if name == "c"));
            let gone: Vec<String> = state.gone(own).into_iter().map(|row| row.node).collect();
            assert_eq!(gone, if notes { vec!["c".to_owned()] } else { Vec::new() }, "by {own}");
            assert!(state.gone(own).is_empty(), "once");
        }
        let mut state = three();
        listed(&mut state, &["b", "c"]);
        assert_eq!(state.gone("b").len(), 1, "the first one's departure, by the second");
    }

    #[test]
    fn who_comes_back_is_not_absent_any_more_and_who_is_forgotten_is_not_shown() {
        let mut state = three();
        listed(&mut state, &["a"]);
        let read = |state: &mut State, node: &str| {
            state.take(&Part::Absent(node.to_owned()), Content::Data(Some((Vec::new(), Written::default()))));
        };
        read(&mut state, "b");
        read(&mut state, "c");
        let absent = |state: &State| state.cluster("x").absent.into_iter().map(|row| row.node).collect::<Vec<_>>();
        assert_eq!(absent(&state), ["b", "c"]);
        listed(&mut state, &["a", "b"]);
        // The answer to a question that was asked while it was away.
        read(&mut state, "b");
        assert_eq!(absent(&state), ["c"]);
        state.take(&Part::Known, Content::Names(vec!["a".to_owned(), "b".to_owned()]));
        assert!(absent(&state).is_empty());
    }
}
