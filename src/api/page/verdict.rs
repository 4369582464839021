//! `/verdict`: `primacy status`'s first lines, as this node sees the cluster, and what to do.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::advice;
use crate::api::answer;
use crate::api::asked::Asked;
use crate::clock;
use crate::status::verdict::{Sight, Verdict};
use crate::status::{ContactWord, StatusWord};

#[derive(Serialize)]
struct Told {
    /// Who says so.
    node: String,
    /// `OK`, `WARNING`, `CRITICAL`, `UNKNOWN`, or `PAUSED`.
    word: &'static str,
    sentence: String,
    asked_for: Vec<String>,
    advice: Advice,
}

#[derive(Serialize)]
struct Advice {
    title: &'static str,
    paragraphs: Vec<String>,
    link: String,
}

pub fn answer(asked: &Asked<'_>) -> Response {
    let server = asked.seen.server();
    let view = asked.seen.cluster();
    let cut_off = server.zookeeper.state.is_some_and(|state| state != ContactWord::Connected);
    let blind = (view.active.is_none() && (cut_off || server.status == StatusWord::Disconnected))
        .then(|| format!("{} has no contact ({})", server.node, server.reason.trim_end_matches('.')));
    let verdict = Verdict::of(&Sight { view, blind }, clock::wall());
    let title = verdict.advice().title();
    answer::json(
        StatusCode::OK,
        &Told {
            node: server.node,
            word: verdict.word(),
            advice: Advice { title, paragraphs: advice::paragraphs(title), link: advice::link(title) },
            sentence: verdict.sentence,
            asked_for: verdict.asked_for,
        },
    )
}
