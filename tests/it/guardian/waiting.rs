//! Waiting for a lock that somebody else holds: granted, called off, not taken up.

use super::*;

/// Holds the lock, and what waits for it.
struct Both {
    directory: TempDir,
    holder: Guardian,
    waiting: Guardian,
    settings: Settings,
}

impl Both {
    fn waiting_for(until: Duration, grace: Duration) -> Self {
        let directory = TempDir::new().unwrap();
        let first = settings(directory.path(), "exec sleep 1000");
        let mut holder = Guardian::configured(&first);
        let (volume, _) = holder.acquire(None);
        holder.write_record(&first, 1);
        let settings = Settings { node: "node-b".to_owned(), ..first };
        let mut waiting = Guardian::configured(&settings);
        waiting.expect(|report| matches!(report, Report::Volume(view) if view.problem.is_none()).then_some(()));
        let expected_volume = Some(volume);
        waiting.order(GuardianOrder::AwaitLock { until: clock::now() + until, grace, expected_volume });
        Self { directory, holder, waiting, settings }
    }

    fn let_go(&mut self) {
        self.holder.order(GuardianOrder::CloseLock { cause: End::Stopped.into() });
        self.holder.expect(|report| matches!(report, Report::LockClosed { .. }).then_some(()));
    }
}

fn granted(report: &Report) -> Option<Option<LockRecord>> {
    if let Report::LockAcquired { record, .. } = report { Some(record.clone()) } else { None }
}

#[test]
fn a_lock_that_is_let_go_of_is_granted_with_what_the_file_says() {
    let mut both = Both::waiting_for(FAR, FAR);
    both.let_go();
    let record = both.waiting.expect(granted).unwrap();
    assert_eq!((record.epoch, record.node.as_str(), record.is_over()), (1, "node-a", true));
}

#[test]
fn what_is_called_off_holds_nothing_although_a_command_runs() {
    let mut both = Both::waiting_for(FAR, FAR);
    both.waiting.run_beside("exec sleep 1000", &both.settings);
    both.waiting.order(GuardianOrder::CallOff);
    both.waiting.expect_report(&Report::CalledOff);
    both.let_go();
    let third = Settings { node: "node-c".to_owned(), ..both.settings.clone() };
    Guardian::configured(&third).acquire(None);
    // It can wait again, for whoever has it now.
    let until = clock::now() + FAR;
    both.waiting.order(GuardianOrder::AwaitLock { until, grace: FAR, expected_volume: None });
    both.waiting.order(GuardianOrder::CallOff);
    both.waiting.expect_report(&Report::CalledOff);
}

#[test]
fn who_waits_for_longer_than_it_was_told_gives_up_by_itself() {
    let mut both = Both::waiting_for(Duration::from_millis(200), FAR);
    both.waiting.expect_report(&Report::CalledOff);
    both.let_go();
    let third = Settings { node: "node-c".to_owned(), ..both.settings.clone() };
    Guardian::configured(&third).acquire(None);
}

#[test]
fn a_grant_that_nobody_takes_up_is_let_go_of() {
    let mut both = Both::waiting_for(FAR, Duration::from_millis(200));
    both.let_go();
    both.waiting.expect(granted);
    let seen = both.waiting.until_end();
    assert!(seen.iter().any(|report| matches!(report, Report::LockClosed { .. })), "{seen:#?}");
    let third = Settings { node: "node-c".to_owned(), ..both.settings.clone() };
    Guardian::configured(&third).acquire(None);
}

#[test]
fn a_lock_file_that_is_replaced_is_waited_for_anew() {
    let mut both = Both::waiting_for(FAR, FAR);
    fs::remove_file(lock_path(&both.settings)).unwrap();
    // Nobody holds the one that is made in its place.
    assert_eq!(both.waiting.expect(granted), None);
    assert!(both.directory.path().exists());
}
