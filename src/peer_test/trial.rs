//! The trial itself: one holds a lock, the other contends for it, and both come to the same verdict.

use std::path::Path;
use std::time::Duration;

use super::locker::{Locker, on_volume, read, write};
use super::meeting::Meeting;
use super::words::{STEP, Step, Word};
use crate::clock;
use crate::moment::in_words;
use crate::status::{PeerResult, PeerTest};

/// How long the contender tries to get a lock whose holder is dead. Measured on NFS: at most 50 ms.
const RELEASE: Duration = Duration::from_secs(5);

pub async fn hold(meeting: &mut Meeting<'_>, other: &Word, directory: &Path) -> Result<PeerTest, String> {
    let file = directory.join(format!(".primacy-peer-{}", meeting.own.nonce));
    let held = hold_on(meeting, other, &file).await;
    let leftover = file.clone();
    // What cannot be removed is harmless, and named after what it is.
    let _ = on_volume(move || std::fs::remove_file(leftover)).await;
    held
}

async fn hold_on(meeting: &mut Meeting<'_>, other: &Word, file: &Path) -> Result<PeerTest, String> {
    let (path, nonce) = (file.to_owned(), meeting.own.nonce.clone());
    on_volume(move || write(&path, &nonce)).await?;
    let path = file.to_owned();
    let mut holder = on_volume(move || Locker::start(&path, true)).await?;
    if holder.said != "locked" {
        return Err(format!("this host cannot lock a file that it has just created: {}", holder.said));
    }
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    meeting.say(Step::Locked { file: name }).await?;
    let tried = |word: &Word| match &word.step {
        Step::Tried { unread, excluded } => Some((unread.clone(), *excluded)),
        _ => None,
    };
    let (unread, excluded) = meeting.hear("try the lock", STEP, tried).await?;
    on_volume(move || holder.kill()).await?;
    meeting.say(Step::Released).await?;
    let done = |word: &Word| match &word.step {
        Step::Done { got_after } => Some(*got_after),
        _ => None,
    };
    let got_after = meeting.hear("get the lock", STEP + RELEASE, done).await?;
    Ok(verdict(&meeting.own, other, unread, excluded, got_after))
}

pub async fn contend(meeting: &mut Meeting<'_>, other: &Word, directory: &Path) -> Result<PeerTest, String> {
    let locked = |word: &Word| match &word.step {
        Step::Locked { file } => Some(file.clone()),
        _ => None,
    };
    let name = meeting.hear("lock its file", STEP, locked).await?;
    if !name.starts_with(".primacy-peer-") || name.contains('/') {
        return Err(format!("the other node names a strange file: {name:?}"));
    }
    let file = directory.join(name);
    let (path, nonce) = (file.clone(), other.nonce.clone());
    let (unread, said) = on_volume(move || {
        let unread = match read(&path) {
            Ok(content) if content == nonce => None,
            Ok(_) => Some(format!("{} has another content here", path.display())),
            Err(error) => Some(format!("{}: {error}", path.display())),
        };
        let said = if unread.is_none() { Locker::start(&path, false)?.said.clone() } else { String::new() };
        Ok((unread, said))
    })
    .await?;
    if unread.is_none() && said != "busy" && said != "locked" {
        return Err(format!("this host cannot try the lock: {said}"));
    }
    let excluded = said == "busy";
    meeting.say(Step::Tried { unread: unread.clone(), excluded }).await?;
    meeting.hear("release its lock", STEP, |word| (word.step == Step::Released).then_some(())).await?;
    let readable = unread.is_none();
    let got_after = on_volume(move || if readable { gets(&file) } else { Ok(None) }).await?;
    meeting.say(Step::Done { got_after }).await?;
    Ok(verdict(&meeting.own, other, unread, excluded, got_after))
}

/// Tries until the lock is free; how many milliseconds that took.
fn gets(file: &Path) -> std::io::Result<Option<u64>> {
    let began = clock::now();
    loop {
        let after = clock::now().since(began);
        if Locker::start(file, false)?.said == "locked" {
            return Ok(u64::try_from(after.as_millis()).ok());
        }
        if after > RELEASE {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same on both sides.
fn verdict(own: &Word, other: &Word, unread: Option<String>, excluded: bool, got_after: Option<u64>) -> PeerTest {
    let (holder, contender) = if own.node < other.node { (own, other) } else { (other, own) };
    let (a, b) = (&holder.node, &contender.node);
    let ids = (holder.volume.as_ref(), contender.volume.as_ref());
    let failed = if let (Some(here), Some(there)) = ids
        && here != there
    {
        Some(format!("{a} sees the volume {here}, {b} the volume {there}: these are two"))
    } else if let Some(unread) = unread {
        Some(format!("{b} does not see what {a} writes ({unread}): these are two volumes"))
    } else if !excluded {
        Some(format!("{b} got the lock while {a} held it: locks of this volume do not exclude other hosts"))
    } else if got_after.is_none() {
        Some(format!(
            "{b} did not get the lock within {} after the process of {a} that held it had died",
            in_words(RELEASE)
        ))
    } else {
        None
    };
    let result = if failed.is_some() { PeerResult::Failed } else { PeerResult::Verified };
    let good = || {
        let after = got_after.unwrap_or_default();
        format!("{b} was kept out while {a} held the lock, and got it {after} ms after the holder's death")
    };
    PeerTest {
        result,
        with: None,
        volume: own.volume.clone().filter(|_| own.volume == other.volume),
        at: clock::timestamp(),
        detail: failed.unwrap_or_else(good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(node: &str, volume: &str) -> Word {
        Word {
            node: node.to_owned(),
            host: format!("host-{node}"),
            nonce: node.to_owned(),
            volume: Some(volume.to_owned()),
            with: None,
            step: Step::Here,
        }
    }

    #[test]
    fn both_sides_come_to_the_same_verdict_and_only_one_outcome_is_good() {
        let judge = |there: &str, unread: Option<&str>, excluded, got| {
            let (a, b) = (word("a", "v"), word("b", there));
            let unread = unread.map(str::to_owned);
            let (mine, theirs) =
                (verdict(&a, &b, unread.clone(), excluded, got), verdict(&b, &a, unread, excluded, got));
            assert_eq!((mine.result, &mine.detail), (theirs.result, &theirs.detail));
            mine
        };
        assert_eq!(judge("v", None, true, Some(3)).result, PeerResult::Verified);
        for (test, words) in [
            (judge("w", None, true, Some(3)), "these are two"),
            (judge("v", Some("gone"), true, Some(3)), "does not see what a writes"),
            (judge("v", None, false, Some(3)), "b got the lock while a held it"),
            (judge("v", None, true, None), "did not get the lock"),
        ] {
            assert_eq!(test.result, PeerResult::Failed);
            assert!(test.detail.contains(words), "{}", test.detail);
        }
    }
}
