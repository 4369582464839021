//! A node that was written down and read again goes on as the one that was written down: what a replay rests on.

use proptest::prelude::*;

use super::properties::{ANSWER, answers, input, words};
use super::*;

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn said(node: &mut Node) -> Vec<(String, Output)> {
    std::iter::from_fn(|| node.poll_output()).map(|output| (serde_json::to_string(&output).unwrap(), output)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_node_that_was_read_again_wants_the_same_as_the_one_that_was_written(words in words(), probed: bool) {
        let mut bench = Bench::new(if probed { PROBED } else { "" });
        let mut due: VecDeque<Input> = bench.wanted.drain(..).flat_map(|output| answers(&output, bench.now)).collect();
        let mut twin = again(&bench.node);
        for word in words {
            bench.now = bench.now + Duration::from_millis(word.after);
            let heard = match word.kind {
                ANSWER.. => due.pop_front().unwrap_or(Input::TimePassed),
                _ => input(bench.now, word),
            };
            twin.hear(at(bench.now), again(&heard));
            bench.node.hear(at(bench.now), heard);
            let wanted = said(&mut bench.node);
            let told: Vec<String> = said(&mut twin).into_iter().map(|(line, _)| line).collect();
            prop_assert_eq!(wanted.iter().map(|(line, _)| line.clone()).collect::<Vec<_>>(), told);
            prop_assert_eq!(bench.node.deadline(), twin.deadline());
            due.extend(wanted.iter().flat_map(|(_, output)| answers(output, bench.now)));
            if word.yes {
                twin = again(&bench.node);
            }
        }
    }
}
