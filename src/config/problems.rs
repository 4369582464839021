//! What is wrong with a configuration: all of it, each with its place and its remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted, as in `zookeeper.session_timeout`; empty where the file itself is the problem.
    pub key: String,
    /// Counted from 1. `None` where nothing in the file stands for it: a required key that is absent.
    pub line: Option<usize>,
    /// The value as it was written. Never a secret, and nothing that may be one.
    pub value: Option<String>,
    /// Continues a sentence whose subject is the key.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// Every problem of one configuration, in the order of their lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file, where there is one.
    pub file: PathBuf,
    pub problems: Vec<Problem>,
}

/// Stands for the file in messages on a text that came from none.
const NO_FILE: &str = "configuration";

impl Problems {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.line.unwrap_or(0));
        Self { file: PathBuf::from(NO_FILE), problems }
    }

    pub(super) fn of_file(path: &Path, what: String, remedy: String) -> Self {
        Self::new(vec![Problem { key: String::new(), line: None, value: None, what, remedy }]).in_file(path)
    }

    pub(super) fn in_file(self, path: &Path) -> Self {
        Self { file: path.to_path_buf(), ..self }
    }
}

impl fmt::Display for Problems {
    /// One block per problem, the first line of each in the form that editors and terminals make a link of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", printable(&self.file.display().to_string()))?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            f.write_str(":")?;
            if !problem.key.is_empty() {
                write!(f, " {}", problem.key)?;
            }
            if let Some(value) = &problem.value {
                write!(f, " = {value}")?;
            }
            write!(f, "\n    {}\n    remedy: {}", printable(&problem.what), printable(&problem.remedy))?;
        }
        Ok(())
    }
}

/// Without control characters: what a file says may not move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}
