//! What must hold of whatever the volume's files contain, and of what the host says is mounted.

use std::path::Path;

use super::identity::id_in;
use super::lock_file::{content_of, record_in};
use super::mounts::Mount;
use crate::guardian::protocol::is_volume_id;

/// Any bytes as the content of any file.
pub fn contents(data: &[u8]) {
    record(data);
    identity(data);
    mounts(&String::from_utf8_lossy(data));
}

fn record(data: &[u8]) {
    let Some(record) = record_in(data) else { return };
    let written = content_of(&record).expect("plain data with string keys");
    assert_eq!(record_in(&written).as_ref(), Some(&record));
    // A write that was cut short leaves a longer predecessor's tail.
    assert_eq!(record_in(&[written.as_slice(), data].concat()), Some(record));
}

fn identity(data: &[u8]) {
    match id_in(data) {
        Ok(id) => assert!(is_volume_id(&id)),
        Err(error) => assert!(error.raw_os_error().is_none() && !error.to_string().is_empty()),
    }
}

fn mounts(text: &str) {
    let path = Path::new("/mnt/volume/.primacy");
    if let Some(mount) = Mount::find(text, path) {
        assert!(path.starts_with(&mount.point));
        assert!(mount.warnings().iter().all(|warning| !warning.is_empty()));
        mount.is_read_only();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guardian::protocol::{Ended, LockRecord};
    use crate::status::EndCause;

    fn records() -> impl Strategy<Value = LockRecord> {
        let texts = (".{0,20}", ".{0,20}", ".{0,20}", ".{0,20}");
        let numbers = (any::<i32>(), any::<u64>(), any::<u64>());
        (texts, numbers, prop::option::of((".{0,9}", ".{0,9}"))).prop_map(|(texts, numbers, ended)| LockRecord {
            format: 1,
            node: texts.0,
            host: texts.1,
            host_id: texts.2,
            boot_id: texts.3,
            pid: numbers.0,
            pid_started: numbers.1,
            pid_namespace: None,
            identity: None,
            api: String::new(),
            epoch: numbers.2,
            since: String::new(),
            nfs_client: ended.as_ref().map(|(_, cause)| cause.clone()),
            ended: ended.map(|(at, cause)| Ended { at, cause: EndCause::Other(cause) }),
            over: None,
        })
    }

    proptest! {
        #[test]
        fn any_bytes_in_the_volumes_files_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            contents(&data);
        }

        #[test]
        fn a_record_comes_back_and_its_first_part_alone_is_none(record in records(), cut in any::<prop::sample::Index>()) {
            let written = content_of(&record).unwrap();
            prop_assert_eq!(record_in(&written), Some(record));
            contents(&written);
            // Without its last brace it is no record; what follows that is blanks.
            let brace = written.iter().rposition(|byte| *byte == b'}').unwrap();
            prop_assert_eq!(record_in(&written[..cut.index(brace)]), None);
        }

        #[test]
        fn any_lines_as_mounts_are_read(lines in prop::collection::vec("[0-9 /a-z\\\\:.,=-]{0,60}", 0..5)) {
            contents(lines.join("\n").as_bytes());
        }
    }

    #[test]
    fn an_id_that_is_no_word_or_too_long_is_refused() {
        assert_eq!(id_in(b"{\"id\":\"2e1f-7\"}").unwrap(), "2e1f-7");
        for id in ["", "a b", "\\u001b[31m", &"a".repeat(129)] {
            assert!(id_in(format!("{{\"id\":\"{id}\"}}").as_bytes()).is_err(), "{id}");
        }
        assert!(id_in(&[b' '; 5000]).is_err());
    }
}
