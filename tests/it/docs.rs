//! The pages written by hand name tests, words and metrics of the code; here they are held against it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `folder` with this extension, build results and hidden folders aside.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            let name = name.to_string_lossy();
            if !name.starts_with('.') && name != "target" && name != "bench-out" {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn pages() -> Vec<(PathBuf, String)> {
    let pages: Vec<_> = files(root(), "md").into_iter().map(|path| (path.clone(), read(path))).collect();
    assert!(pages.len() > 10, "only {} pages were found", pages.len());
    pages
}

/// The text's lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The longest beginning of `text` made of a name's characters.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The texts that an `as_str` in `path` gives, in the `impl` of `of`.
fn words(path: &str, of: &str) -> Vec<String> {
    let source = read(path);
    let (_, block) = source.split_once(&format!("impl {of} {{")).unwrap();
    let (block, _) = block.split_once("\n}\n").unwrap();
    let words: Vec<String> =
        block.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    assert!(words.len() > 3, "{path}: {of} has only {words:?}");
    words
}

/// Whether a source file belongs to a crate: a merge may drop the line that makes it a module, and its tests fall silent.
fn is_compiled(path: &Path) -> bool {
    let (folder, stem) = (path.parent().unwrap(), path.file_stem().unwrap().to_string_lossy());
    if stem == "main" || stem == "lib" {
        return true;
    }
    let name = if stem == "mod" { folder.file_name().unwrap().to_string_lossy() } else { stem.clone() };
    let home = if stem == "mod" { folder.parent().unwrap() } else { folder };
    let declaration = format!("mod {name};");
    [home.join("main.rs"), home.join("lib.rs"), home.join("mod.rs"), home.with_extension("rs")].iter().any(|parent| {
        let declares = |text: String| text.lines().any(|line| line.trim_start_matches("pub ").trim() == declaration);
        parent.exists() && declares(read(parent)) && is_compiled(parent)
    })
}

/// A test's function: its attributes, its name, and its lines.
struct Test<'a> {
    attributes: Vec<&'a str>,
    name: &'a str,
    lines: Vec<&'a str>,
}

impl<'a> Test<'a> {
    fn all_in(source: &'a str) -> Vec<Self> {
        let mut tests = Vec::new();
        let mut attributes = Vec::new();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let trimmed = line.trim();
            if trimmed.starts_with("#[") {
                attributes.push(trimmed);
                continue;
            }
            let found = std::mem::take(&mut attributes);
            let marked = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let Some((_, rest)) = trimmed.split_once("fn ").filter(|_| found.iter().any(marked)) else {
                continue;
            };
            // As rustfmt writes it, a function ends where its indentation does.
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let lines = lines.by_ref().take_while(|line| *line != end).collect();
            tests.push(Self { attributes: found, name: name(rest), lines });
        }
        tests
    }

    /// The feature without which it is not compiled.
    fn feature(&self) -> Option<&'a str> {
        let condition = self.attributes.iter().find_map(|line| line.strip_prefix("#[cfg(feature = \""))?;
        condition.split('"').next()
    }

    fn is_ignored(&self) -> bool {
        self.attributes.iter().any(|line| line.starts_with("#[ignore"))
    }

    /// It can end before its end, and whoever reads that it has passed does not learn of it.
    fn ends_silently(&self) -> bool {
        self.lines.iter().any(|line| line.contains("return;") || line.contains("{ return }"))
    }
}

/// Every source file of this workspace that has tests, and is compiled.
fn sources() -> Vec<(PathBuf, String)> {
    let folders =
        ["src", "tests", "testbed", "demo", "drill", "vm-drill"].map(|folder| files(&root().join(folder), "rs"));
    let compiled = folders.concat().into_iter().filter(|path| {
        // A file of its own below tests/ is a target of its own.
        path.parent().is_some_and(|folder| folder.ends_with("tests")) || is_compiled(path)
    });
    compiled.map(|path| (path.clone(), read(path))).collect()
}

#[test]
fn no_test_is_ignored_and_none_that_cannot_run_passes_without_a_word() {
    let mut found = Vec::new();
    let mut looked_at = 0;
    for (path, source) in sources() {
        for test in Test::all_in(&source) {
            looked_at += 1;
            if test.is_ignored() {
                found.push(format!("{}: {} is ignored", path.display(), test.name));
            }
            if test.ends_silently() {
                found.push(format!("{}: {} returns without `skipped(…)`", path.display(), test.name));
            }
        }
    }
    assert!(looked_at > 300, "only {looked_at} tests were found");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_ignored_and_a_silent_test_are_seen() {
    // Not in one piece: this very test is looked at, too.
    let source = "    #[test]\n    #[ignore = \"slow\"]\n    fn one() {\n        x();\n    }\n\
                  #[cfg(feature = \"long\")]\n#[test]\nfn two() {\n    let Some(x) = y() else { RETURN };\n}\n\
                  fn three() {\n    RETURN;\n}\n"
        .replace("RETURN", "return");
    let tests = Test::all_in(&source);
    let seen: Vec<_> =
        tests.iter().map(|test| (test.name, test.is_ignored(), test.ends_silently(), test.feature())).collect();
    assert_eq!(seen, [("one", true, false, None), ("two", false, true, Some("long"))]);
}

/// Whatever stands in evidence.md runs: by `scripts/test`, or by one of its stages that the page names.
#[test]
fn every_test_that_the_guarantees_name_exists_and_is_run() {
    let stages = read("scripts/test");
    let mut tests = BTreeSet::new();
    for (_, source) in sources() {
        for test in Test::all_in(&source) {
            let run = test.feature().is_none_or(|feature| stages.contains(&format!("--features {feature}")));
            if run && !test.is_ignored() {
                tests.insert(test.name.to_owned());
            }
        }
    }
    let text = read("docs/evidence.md") + &read("docs/guarantees.md");
    // Keys, causes and fields have fewer words than a sentence.
    let named: Vec<_> = quoted(&text)
        .into_iter()
        .filter(|quoted| name(quoted) == *quoted && quoted.chars().filter(|c| *c == '_').count() > 2)
        .filter(|quoted| quoted.chars().all(|c| !c.is_ascii_uppercase()))
        .collect();
    assert!(named.len() > 50, "only these names were found: {named:?}");
    let missing: Vec<_> = named.into_iter().filter(|name| !tests.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "docs/evidence.md names tests that do not exist, in files that are no modules, or that nothing runs: {missing:#?}"
    );
}

#[test]
fn every_drill_that_the_guarantees_show_something_by_exists() {
    let drills = read("vm-drill/src/drills/mod.rs");
    let text = read("docs/evidence.md");
    let shown: Vec<_> = text.split("\n\n").filter(|part| part.starts_with("Shown by (virtual machines")).collect();
    assert!(!shown.is_empty());
    let named: Vec<_> = shown.into_iter().flat_map(quoted).filter(|quoted| quoted.contains('-')).collect();
    let missing: Vec<_> = named.iter().filter(|name| !drills.contains(&format!("name: \"{name}\""))).collect();
    assert!(missing.is_empty() && !named.is_empty(), "there are no such drills: {missing:?}");
    let figures = read("docs/measurements/vm-drill.md");
    let never_run: Vec<_> = named.iter().filter(|name| !figures.contains(&format!("\n| {name} | "))).collect();
    assert!(never_run.is_empty(), "docs/measurements/vm-drill.md has no run of {never_run:?}");
}

#[test]
fn every_promise_says_what_shows_it() {
    let (text, evidence) = (read("docs/guarantees.md"), read("docs/evidence.md"));
    let numbered = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let promises: Vec<_> = text.split("\n## ").filter(numbered).collect();
    assert!(promises.len() >= 5);
    for promise in promises {
        let title = promise.lines().next().unwrap();
        assert!(promise.contains(&format!("(evidence.md#{})", anchor(title))), "{title}: leads to no evidence");
        let shown = evidence.split("\n## ").find(|part| part.lines().next() == Some(title));
        assert!(shown.is_some_and(|part| part.contains("Shown by") && !quoted(part).is_empty()), "{title}");
    }
}

#[test]
fn operators_find_every_status_word_cause_and_metric() {
    let text = read("docs/operations.md");
    let named = quoted(&text);
    let mut wanted = words("src/status/mod.rs", "StatusWord");
    wanted.extend(words("src/role/cause.rs", "End"));
    wanted.push("host_lost".to_owned());
    wanted.extend(metrics());
    let missing: Vec<_> =
        wanted.iter().filter(|word| !named.iter().any(|named| name(named) == word.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:?}");
}

/// The names in the code that encodes them.
fn metrics() -> BTreeSet<String> {
    let source = read("src/api/metrics.rs");
    let metrics: BTreeSet<String> =
        source.split("\"primacy_").skip(1).map(|rest| format!("primacy_{}", name(rest))).collect();
    assert!(metrics.len() > 10, "{metrics:?}");
    metrics
}

#[test]
fn every_metric_that_a_page_names_exists() {
    let metrics = metrics();
    let mut unknown = Vec::new();
    for (path, text) in pages() {
        for rest in text.split("primacy_").skip(1) {
            let named = format!("primacy_{}", name(rest));
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| named.strip_suffix(suffix));
            if !metrics.contains(&named) && !family.is_some_and(|family| metrics.contains(family)) {
                unknown.push(format!("{}: {named}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// A heading's name in links, as GitHub forms it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_from_page_to_page_leads_somewhere() {
    let (mut broken, mut followed) = (Vec::new(), 0);
    for (path, text) in pages() {
        for rest in prose(&text).flat_map(|line| line.split("](").skip(1)) {
            let target = rest.split(')').next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let leads = match (there.exists(), fragment) {
                (exists, "") => exists,
                (exists, fragment) => exists && anchors(&read(&there)).contains(fragment),
            };
            if !leads {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(followed > 30, "only {followed} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}
