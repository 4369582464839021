//! The page, put together.

use super::{Runs, charges, rows, runs, summary, timeline};

const STYLE: &str = include_str!("style.css");

pub(super) fn html(all: &Runs<'_>) -> String {
    let shown = all.most_interesting();
    let timeline = shown.map_or_else(String::new, |index| {
        let run = &all.all[index];
        timeline::html(&runs::name(index, run), run, all.all.len()) + &runs::leaderships(run)
    });
    // What somebody is convicted of comes first; what nobody is, when all else has been seen.
    let charges = charges::html(all);
    let (first, last) = if all.convicted() { (charges, String::new()) } else { (String::new(), charges) };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>primacy drill</title>\n\
         <style>\n{STYLE}</style></head>\n<body><main>\n\
         <header><h1>primacy drill</h1><p>A cluster in a box is broken in every way that the drill knows, alone and in \
         pairs; a judge who knows nothing of how primacy works reads what happened.</p></header>\n\
         {}{}{first}{}{timeline}{last}{}\
         <footer><p>Everything here comes from <code>history.jsonl</code>, one line per event on one clock \
         (CLOCK_MONOTONIC of the one kernel that ran it all). Judge it again: <code>drill judge DIR</code>. The same seed \
         and options give the same faults at the same places.</p></footer>\n</main></body></html>\n",
        summary::banner(all),
        summary::tiles(all),
        rows::html(all),
        runs::html(all),
    )
}
