//! Histories on a disk, and the commands.

use drill::history::{Entry, FILE, Writer, read};
use drill::judge;

use crate::forge::varied;

#[test]
fn what_is_written_is_read_and_a_second_run_does_not_go_into_the_same_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = Writer::create(dir.path()).expect("the first one");
    for line in varied() {
        writer.note_at(line.at, line.entry).expect("there is room");
    }
    assert_eq!(read(dir.path()).expect("it was written"), varied());
    assert_eq!(read(&dir.path().join(FILE)).expect("the file itself"), varied());
    assert!(Writer::create(dir.path()).is_err());
}

#[test]
fn lines_of_several_threads_stand_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = Writer::create(dir.path()).expect("the first one");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = writer.clone();
            scope.spawn(move || {
                for number in 0..500 {
                    let text = format!("{thread} {number} {}", "x".repeat(number));
                    writer.note(Entry::Note { text }).expect("there is room");
                }
            });
        }
    });
    assert_eq!(read(dir.path()).expect("every line is whole").len(), 2_000);
}

#[test]
fn the_command_convicts_if_any_of_the_runs_is_guilty() {
    let (innocent, guilty) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
    for (dir, skipped) in [(&innocent, 0), (&guilty, 1)] {
        let writer = Writer::create(dir.path()).expect("the first one");
        for line in varied().into_iter().skip(skipped) {
            writer.note_at(line.at, line.entry).expect("there is room");
        }
    }
    assert!(!judge::cli(&[innocent.path().to_owned()]).expect("it is there"));
    assert!(judge::cli(&[innocent.path().to_owned(), guilty.path().to_owned()]).expect("both are there"));
    assert!(judge::cli(&[innocent.path().join("nowhere")]).is_err());
}
