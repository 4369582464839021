//! Whatever happens in an innocent history, it is acquitted; and any single forgery in it is found.

use drill::judge::{judge, told};
use proptest::prelude::*;

use crate::forge::{Plot, Scene, history};
use crate::forgeries;

fn scene() -> impl Strategy<Value = Scene> {
    let plot = prop::sample::select(Plot::INNOCENT.to_vec());
    (plot, 1_200_u64..25_000, 1_u64..6_000, 100_u64..30_000, any::<u64>())
        .prop_map(|(plot, calm, gap, length, coin)| Scene { plot, calm, gap, length, coin })
}

fn story() -> impl Strategy<Value = (usize, Vec<Scene>)> {
    (2_usize..=5, prop::collection::vec(scene(), 1..7))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn an_innocent_history_is_acquitted((nodes, scenes) in story()) {
        let verdict = judge(&history(nodes, &scenes));
        prop_assert!(!verdict.convicted(), "{}", told("innocent", &verdict));
    }
}

proptest! {
    // Each tries every forgery that the story has a place for.
    #![proptest_config(config(48))]

    #[test]
    fn any_single_forgery_is_found((nodes, scenes) in story(), pick in 0_usize..10_000) {
        let innocent = history(nodes, &scenes);
        for (name, offence, change) in forgeries::ALL {
            let mut lines = innocent.clone();
            if change(&mut lines, pick) {
                let verdict = judge(&lines);
                prop_assert!(verdict.count(offence) > 0, "{name}: {}", told("forged", &verdict));
            }
        }
    }
}
