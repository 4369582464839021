//! Two nodes find each other in ZooKeeper, and talk.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use zookeeper_client::{Client, CreateOptions, Error};

use super::words::{Plan, STEP, Step, Word};
use crate::clock;
use crate::election::zookeeper::Paths;
use crate::moment::in_words;

/// Between two looks at what the other says.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Until the other is looked for again, in case that it was another run of it.
const ROUND: Duration = Duration::from_secs(1);

/// This run's end of the meeting.
pub struct Meeting<'a> {
    client: &'a Client,
    own_path: String,
    other_path: String,
    pub own: Word,
}

impl Meeting<'_> {
    pub async fn say(&mut self, step: Step) -> Result<(), String> {
        self.own.step = step;
        let data = serde_json::to_vec(&self.own).map_err(|error| error.to_string())?;
        answer(self.client.set_data(&self.own_path, &data, None)).await.map(drop)
    }

    /// What the other says, as soon as it is `wanted`.
    pub async fn hear<T>(&self, what: &str, limit: Duration, wanted: impl Fn(&Word) -> Option<T>) -> Result<T, String> {
        let listen = async {
            loop {
                if let Some(word) = word(self.client, &self.other_path).await?
                    && word.with.as_ref() == Some(&self.own.nonce)
                    && let Some(found) = wanted(&word)
                {
                    return Ok(found);
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(limit, listen)
            .await
            .unwrap_or_else(|_| Err(format!("the other node did not {what} within {}", in_words(limit))))
    }

    /// So that it can read the last word.
    pub async fn until_the_other_leaves(&self) {
        let gone = async {
            while matches!(word(self.client, &self.other_path).await, Ok(Some(_))) {
                sleep(LOOK_AGAIN).await;
            }
        };
        let _ = timeout(STEP, gone).await;
    }
}

/// Both are there, and know it of each other. A node that an earlier run has left is soon replaced by its next one.
pub async fn find_each_other<'a>(
    client: &'a Client,
    paths: &Paths,
    own_path: &str,
    own: &Word,
    plan: &Plan,
) -> Result<(Meeting<'a>, Word), String> {
    let until = clock::now() + plan.wait;
    loop {
        let left = until.since(clock::now());
        let (other_path, other) = find(client, paths, own, plan, left).await?;
        let mut meeting = Meeting { client, own_path: own_path.to_owned(), other_path, own: own.clone() };
        meeting.own.with = Some(other.nonce.clone());
        meeting.say(Step::Here).await?;
        let here = meeting.hear("meet this one", ROUND.min(left), |word| Some(word.nonce.clone())).await;
        match here {
            Ok(nonce) if nonce == other.nonce => return Ok((meeting, other)),
            Err(problem) if clock::now() >= until => return Err(problem),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Puts this node's word there. One that an earlier run left is taken away: it was this node's.
pub async fn come(client: &Client, path: &str, own: &Word, ephemeral: &CreateOptions<'_>) -> Result<(), String> {
    let data = serde_json::to_vec(own).map_err(|error| error.to_string())?;
    for _ in 0..3 {
        match client.create(path, &data, ephemeral).await {
            Ok(_) => return Ok(()),
            Err(Error::NodeExists) => match client.delete(path, None).await {
                Ok(()) | Err(Error::NoNode) => {}
                Err(error) => return Err(error.to_string()),
            },
            Err(error) => return Err(format!("cannot create {path}: {error}")),
        }
    }
    Err(format!("another process keeps {path}"))
}

/// The other node, once it is there.
async fn find(
    client: &Client,
    paths: &Paths,
    own: &Word,
    plan: &Plan,
    left: Duration,
) -> Result<(String, Word), String> {
    let look = async {
        loop {
            let mut names = answer(client.list_children(&paths.peers)).await?;
            names.sort();
            for name in names {
                let Some((node, wanted)) = name.split_once('+') else { continue };
                let fits = node != own.node
                    && (wanted.is_empty() || wanted == own.node)
                    && plan.with.as_ref().is_none_or(|with| with == node);
                let path = format!("{}/{name}", paths.peers);
                if fits && let Some(word) = word(client, &path).await? {
                    return Ok((path, word));
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    let who = plan.with.as_deref().unwrap_or("another node");
    timeout(left, look).await.unwrap_or_else(|_| Err(format!("{who} did not come within {}", in_words(plan.wait))))
}

async fn word(client: &Client, path: &str) -> Result<Option<Word>, String> {
    match client.get_data(path).await {
        Ok((data, _)) => Ok(serde_json::from_slice(&data).ok()),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// An answer of ZooKeeper, in time.
pub async fn answer<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(STEP, request).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("ZooKeeper does not answer".to_owned()),
    }
}
