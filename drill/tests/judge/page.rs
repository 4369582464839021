//! The report: small enough to be mailed, whole enough to be read without anything else.

use drill::history::Line;
use drill::judge::judge;
use drill::report;

use crate::forge::{Plot, Scene, history};
use crate::forgeries;

/// About half an hour with everything in it.
fn long() -> Vec<Line> {
    let scenes: Vec<Scene> = (0_u64..88)
        .map(|number| {
            let plot = Plot::INNOCENT[usize::try_from(number * 5 % 8).expect("small")];
            Scene {
                plot,
                calm: 6_000 + number * 977 % 9_000,
                gap: [60, 140, 900, 2_400, 5_200][usize::try_from(number % 5).expect("small")] + number * 7,
                length: 2_000 + number * 1_717 % 12_000,
                coin: number.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            }
        })
        .collect();
    history(3, &scenes)
}

/// Where the pages are kept if DRILL_PAGES names a directory, to be looked at.
fn written(name: &str, runs: &[&[Line]]) -> (String, serde_json::Value) {
    let verdicts: Vec<_> = runs.iter().map(|lines| judge(lines)).collect();
    let runs: Vec<_> = runs.iter().copied().zip(&verdicts).collect();
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = std::env::var_os("DRILL_PAGES").map_or_else(|| temporary.path().to_owned(), Into::into).join(name);
    report::write(&runs, &dir).expect("there is room");
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("it was written");
    (read("drill.html"), serde_json::from_str(&read("figures.json")).expect("it is JSON"))
}

fn stands_alone(page: &str) {
    for foreign in ["http://", "https://", "src=", "<script", "@import", "<link"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    for element in ["svg", "table", "figure", "details", "section", "text", "g", "tr", "td"] {
        let (opened, closed) = (format!("<{element}"), format!("</{element}>"));
        let opened =
            page.match_indices(&opened).filter(|(at, _)| !page.as_bytes()[at + opened.len()].is_ascii_alphanumeric());
        assert_eq!(opened.count(), page.matches(&closed).count(), "{element}");
    }
}

#[test]
fn half_an_hour_is_a_page_that_stands_alone() {
    let lines = long();
    let (page, figures) = written("innocent", &[&lines]);
    stands_alone(&page);
    assert!(page.contains("Convicted of nothing"));
    assert_eq!(figures["convicted"], false);
    assert_eq!(figures["total"]["faults"], judge(&lines).figures.faults);
    assert!(figures.to_string().len() < 20_000);
}

#[test]
fn a_guilty_run_says_of_what_and_where() {
    let mut lines = long();
    for (_, _, change) in forgeries::ALL.iter().filter(|(name, ..)| name.contains("lives on") || name.contains("gone"))
    {
        assert!((9..30).any(|pick| change(&mut lines, pick)));
    }
    let (page, figures) = written("guilty", &[&lines]);
    stands_alone(&page);
    for offence in ["two-alive", "lost-write"] {
        assert!(page.matches(offence).count() > 2, "{offence} is not shown in text and picture");
        assert_eq!(figures["runs"][0]["convicted_of"][offence], 1);
    }
    assert!(figures["verdict"].as_str().is_some_and(|verdict| verdict.starts_with("Two coordinators")));
}

#[test]
fn several_runs_share_one_table_and_none_at_all_proves_nothing() {
    let (short, longer) = (history(2, &[Scene::of(Plot::Kill)]), history(3, &[Plot::Kill, Plot::Pair].map(Scene::of)));
    let (page, figures) = written("several", &[&short, &longer]);
    stands_alone(&page);
    assert_eq!(figures["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(figures["table"][0]["runs"], 2);
    assert!(page.contains("Timeline: Run 2"));
    let (page, _) = written("none", &[]);
    assert!(page.contains("nothing is proven"));
    let (page, figures) = written("empty", &[&[]]);
    stands_alone(&page);
    assert_eq!(figures["convicted"], true);
}
