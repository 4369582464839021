//! An ensemble that is played: it answers by what it holds.

use super::*;

/// What an ensemble holds.
#[derive(Default)]
pub(super) struct Ensemble {
    /// By path: data, version, and the session that it goes with.
    pub(super) nodes: BTreeMap<String, (Vec<u8>, i32, Option<i64>)>,
    pub(super) sequence: u64,
    pub(super) session: i64,
}

impl Ensemble {
    pub(super) fn enter(&mut self, session: i64) -> String {
        self.sequence += 1;
        let path = format!("/p/c/election/s{session}-latch-{:010}", self.sequence);
        self.nodes.insert(path.clone(), (Vec::new(), 0, Some(session)));
        path
    }

    pub(super) fn end(&mut self, session: i64) {
        self.nodes.retain(|_, (_, _, owner)| *owner != Some(session));
    }

    pub(super) fn queue(&self) -> Vec<String> {
        let names = self.nodes.keys().filter_map(|path| path.strip_prefix("/p/c/election/"));
        names.map(str::to_owned).collect()
    }

    pub(super) fn content(&self, path: &str) -> Content {
        Ok(self.nodes.get(path).map(|(data, version, _)| (data.clone(), *version)))
    }

    pub(super) fn write(&mut self, writes: &[Write]) -> Result<Vec<i32>, (Option<usize>, Failure)> {
        let mut nodes = self.nodes.clone();
        let mut versions = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            let failed = |kind| Err((Some(index), failure(kind)));
            let (Write::Check { path, .. }
            | Write::Create { path, .. }
            | Write::Set { path, .. }
            | Write::Delete { path }) = write;
            match (write, nodes.get_mut(path)) {
                (Write::Create { .. }, Some(_)) => return failed(Kind::NodeExists),
                (Write::Create { data, .. }, None) => {
                    nodes.insert(path.clone(), (data.clone(), 0, None));
                    versions.push(0);
                }
                (_, None) => return failed(Kind::NoNode),
                (
                    Write::Check { version: Some(wanted), .. } | Write::Set { version: Some(wanted), .. },
                    Some((_, version, _)),
                ) if wanted != version => return failed(Kind::BadVersion),
                (Write::Check { .. }, Some(_)) => versions.push(0),
                (Write::Set { data, .. }, Some((content, version, _))) => {
                    (*content, *version) = (data.clone(), *version + 1);
                    versions.push(*version);
                }
                (Write::Delete { .. }, Some(_)) => {
                    nodes.remove(path);
                    versions.push(0);
                }
            }
        }
        self.nodes = nodes;
        Ok(versions)
    }

    /// Carries a request out; `None` while its answer is not there.
    pub(super) fn answer(&mut self, request: &Request, session: i64) -> Option<Answer> {
        Some(match request {
            Request::Enter => Answer::Entered(Ok(self.enter(session))),
            Request::EnsureDirectories | Request::Touch { .. } => Answer::Done(Ok(())),
            Request::Look { node } => Answer::Looked(Ok(Box::new(Looked {
                synced: Ok(()),
                queue: Ok(self.queue()),
                owner: Ok(self.nodes.get(node).and_then(|(_, _, owner)| *owner)),
                epoch: self.content("/p/c/epoch"),
                active: self.content("/p/c/active"),
                volume: self.content("/p/c/volume"),
                control: self.content("/p/c/control"),
            }))),
            Request::UntilDeleted { node, .. } if self.nodes.contains_key(node) => return None,
            Request::UntilDeleted { .. } => Answer::Deleted,
            Request::Delete { node } => {
                let gone = self.nodes.remove(node).map(drop);
                Answer::Done(gone.ok_or_else(|| failure(Kind::NoNode)))
            }
            Request::Write(writes) | Request::Heartbeat(writes) => Answer::Written(self.write(writes)),
        })
    }

    pub(super) fn others(&mut self, what: u8) {
        let strangers = self.nodes.iter().filter(|(_, (_, _, owner))| *owner == Some(0)).map(|(path, _)| path.clone());
        let stranger = strangers.into_iter().next();
        let own =
            self.nodes.iter().find(|(_, (_, _, owner))| *owner == Some(self.session)).map(|(path, _)| path.clone());
        match what {
            0..3 => drop(self.enter(0)),
            3..6 => drop(stranger.map(|path| self.nodes.remove(&path))),
            6 => drop(own.map(|path| self.nodes.remove(&path))),
            7 => {
                let epoch = self.content("/p/c/epoch").ok().flatten().and_then(|(data, _)| contents(&data));
                let next = (epoch.unwrap_or(0) + 1).to_string().into_bytes();
                let version = self.nodes.get("/p/c/epoch").map_or(0, |(_, version, _)| version + 1);
                self.nodes.insert("/p/c/epoch".to_owned(), (next, version, None));
            }
            _ => {
                let paused = self.nodes.remove("/p/c/control").is_none();
                if paused {
                    let data = br#"{"paused": true}"#.to_vec();
                    self.nodes.insert("/p/c/control".to_owned(), (data, 0, None));
                }
            }
        }
    }
}

fn contents(data: &[u8]) -> Option<u64> {
    crate::zookeeper::contents::epoch(data)
}
