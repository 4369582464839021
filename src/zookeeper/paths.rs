//! Where everything is, under `<root>/<cluster>`.

use super::contents::entry_name;
use crate::intents::queue_key;

/// Full paths of one cluster's nodes.
#[derive(Clone, Debug)]
pub struct Paths {
    pub cluster: String,
    pub election: String,
    pub epoch: String,
    pub active: String,
    pub heartbeat: String,
    pub members: String,
    pub control: String,
    pub history: String,
    pub services: String,
    pub states: String,
    pub volume: String,
    /// Every node that has ever registered.
    pub known: String,
    /// Where two nodes meet to try the lock against each other; created by whoever comes first.
    pub peers: String,
    /// What came of it.
    pub verified: String,
}

impl Paths {
    pub fn new(root: &str, cluster: &str) -> Self {
        let cluster = format!("/{}", join(root, cluster));
        let below = |name: &str| format!("{cluster}/{name}");
        Self {
            election: below("election"),
            epoch: below("epoch"),
            active: below("active"),
            heartbeat: below("heartbeat"),
            members: below("members"),
            control: below("control"),
            history: below("history"),
            services: below("services/coordinator"),
            states: below("states"),
            volume: below("volume"),
            known: below("known"),
            peers: below("peers"),
            verified: below("verified"),
            cluster,
        }
    }

    pub fn member(&self, node: &str) -> String {
        format!("{}/{node}", self.members)
    }

    /// One end of a meeting; `with` nobody in particular.
    pub fn peer(&self, node: &str, with: Option<&str>) -> String {
        format!("{}/{node}+{}", self.peers, with.unwrap_or_default())
    }

    pub fn state(&self, node: &str) -> String {
        format!("{}/{node}", self.states)
    }

    pub fn known_node(&self, node: &str) -> String {
        format!("{}/{node}", self.known)
    }

    pub fn service(&self, node: &str) -> String {
        format!("{}/{node}", self.services)
    }

    pub fn history_of(&self, epoch: u64) -> String {
        format!("{}/{}", self.history, entry_name(epoch))
    }

    pub fn queue_node(&self, name: &str) -> String {
        format!("{}/{name}", self.election)
    }

    /// Every persistent node that must exist before anything else, parents first.
    pub fn persistent(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            self.cluster.match_indices('/').skip(1).map(|(end, _)| self.cluster[..end].to_owned()).collect();
        paths.push(self.cluster.clone());
        paths.extend([&self.election, &self.members, &self.history].map(Clone::clone));
        paths.push(format!("{}/services", self.cluster));
        paths.extend([&self.services, &self.states, &self.known, &self.heartbeat].map(Clone::clone));
        paths
    }
}

fn join(root: &str, cluster: &str) -> String {
    let root = root.trim_matches('/');
    if root.is_empty() { cluster.to_owned() } else { format!("{root}/{cluster}") }
}

/// Where a name stands in the queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    First,
    /// The name before it.
    Behind(String),
    Absent,
}

/// Where `name` stands. Strangers' names count, too: Curator would wait for them.
pub fn place(mut queue: Vec<String>, name: &str) -> Place {
    queue.sort_unstable_by(|a, b| (queue_key(a), a).cmp(&(queue_key(b), b)));
    match queue.iter().position(|other| other == name) {
        None => Place::Absent,
        Some(0) => Place::First,
        Some(place) => Place::Behind(queue.swap_remove(place - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_their_children() {
        let paths = Paths::new("/a/b/", "c").persistent();
        assert_eq!(paths[..4], ["/a", "/a/b", "/a/b/c", "/a/b/c/election"]);
        for (index, path) in paths.iter().enumerate().skip(1) {
            let parent = &path[..path.rfind('/').unwrap()];
            assert!(paths[..index].iter().any(|earlier| earlier == parent), "{path}");
        }
        assert_eq!(Paths::new("/", "c").election, "/c/election");
    }

    #[test]
    fn the_queue_is_sorted_on_what_follows_the_last_latch() {
        assert_eq!(queue_key("_c_latch-0-latch-0000000012"), "0000000012");
        assert_eq!(queue_key("something else"), "something else");
    }
}
