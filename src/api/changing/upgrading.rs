//! `POST /upgrade`: what the node says to it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::api::Shared;
use crate::clock;
use crate::intents::Asked;
use crate::steering::orders::Answer;

/// How long the program at the path may be asked.
const PATIENCE: Duration = Duration::from_secs(12);

const AGAIN: Duration = Duration::from_millis(5);

/// Asks the node, and waits for what the program at its path says.
pub async fn upgraded(shared: &Shared, by: String, reason: Option<String>) -> Answer {
    let refused = |status, error: &str| Answer { status, body: json!({"error": error, "reasons": {}}) };
    let number = 1 + shared.upgrades.fetch_add(1, Ordering::Relaxed);
    (shared.steering.own)(Asked::Upgrade { number, by, reason });
    let until = clock::now() + PATIENCE;
    while clock::now() < until {
        let snapshot = shared.snapshot.load();
        let upgrade = &snapshot.upgrade;
        if upgrade.covers >= number {
            let node = &snapshot.server.node;
            return match &upgrade.refused {
                Some(why) => Answer { status: 409, body: json!({"error": why, "reasons": {node: why}}) },
                None => Answer {
                    status: 200,
                    body: json!({"changed": true, "from": snapshot.server.version, "version": upgrade.version}),
                },
            };
        }
        drop(snapshot);
        tokio::time::sleep(AGAIN).await;
    }
    refused(503, "the program at this node's path has not answered: see the log")
}
