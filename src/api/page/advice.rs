//! What to do, in the words of operations.md: one source for the page and for who reads the document.

/// The document, as it lies beside the code.
pub const OPERATIONS: &str = include_str!("../../../docs/operations.md");

/// The paragraphs below the heading, without their links; none where there is no such heading.
pub fn paragraphs(title: &str) -> Vec<String> {
    let heading = format!("\n### {title}\n");
    let Some((_, rest)) = OPERATIONS.split_once(&heading) else { return Vec::new() };
    let section = rest.split("\n#").next().unwrap_or_default();
    let paragraphs =
        section.split("\n\n").map(|text| without_links(&text.split_whitespace().collect::<Vec<_>>().join(" ")));
    paragraphs.filter(|text| !text.is_empty()).collect()
}

/// Where the whole of it is read.
pub fn link(title: &str) -> String {
    let escaped: String = title.chars().map(|it| if it == ' ' { "%20".to_owned() } else { it.to_string() }).collect();
    format!("/operations.md#:~:text={}", escaped.replace(',', "%2C").replace('-', "%2D"))
}

/// `[text](address)` is text.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain += before;
        match after.split_once("](").and_then(|(words, tail)| Some((words, tail.split_once(')')?.1))) {
            Some((words, tail)) if !words.contains('[') => {
                plain += words;
                rest = tail;
            }
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::verdict::Advice;

    #[test]
    fn there_is_advice_for_every_case() {
        for advice in Advice::ALL {
            let text = paragraphs(advice.title());
            assert!(!text.is_empty() && text.iter().all(|it| !it.contains("](")), "{}: {text:?}", advice.title());
        }
        assert!(paragraphs("No such heading").is_empty());
    }

    #[test]
    fn links_become_their_words() {
        assert_eq!(without_links("a [b](c) and `x[0]` [d](#e)."), "a b and `x[0]` d.");
        assert_eq!(without_links("[a"), "[a");
    }
}
