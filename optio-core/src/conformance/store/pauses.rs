//! Pauses of accounts.

use super::Store;
use crate::{
    account::{AccountName, Pause, PauseEnd},
    conformance::{
        refused,
        sample::{self, HARD_TEXT, at, pause},
    },
    error::ErrorKind::Conflict,
    store::Write,
};

/// With all their fields, whatever the account is called, by name.
pub async fn pauses_are_read_back_by_name(store: &Store) {
    assert_eq!(pauses(store).await, []);
    let names = ["b", "a", "ž", HARD_TEXT];
    let mut written: Vec<Pause> = (1..)
        .zip(names)
        .map(|(n, name)| pause(name, PauseEnd::At(at(n)), n))
        .collect();
    written.push(pause("c", PauseEnd::Resumed, 9));
    store.put(written.iter().cloned().map(Write::Pause)).await;
    written.sort_by(|a, b| a.account.cmp(&b.account));
    assert_eq!(pauses(store).await, written);
}

/// In whatever order they are written; and the first of two that end together.
pub async fn of_several_pauses_of_an_account_the_one_that_ends_last_is_kept(store: &Store) {
    let steps = [
        (PauseEnd::At(at(50)), 1, 1),
        (PauseEnd::At(at(40)), 2, 1),
        (PauseEnd::At(at(50)), 3, 1),
        (PauseEnd::At(at(60)), 4, 4),
        (PauseEnd::Resumed, 5, 5),
        (PauseEnd::At(at(99)), 6, 5),
        (PauseEnd::Resumed, 7, 5),
    ];
    for (until, run, kept) in steps {
        store.put([Write::Pause(pause("a", until, run))]).await;
        let found: Vec<_> = pauses(store).await.iter().map(|it| it.run).collect();
        assert_eq!(found, [sample::run_id(kept)], "after the one of run {run}");
    }
    let both = [10, 20].map(|n| Write::Pause(pause("b", PauseEnd::At(at(n)), n)));
    store.put(both).await;
    assert_eq!(pauses(store).await[1].until, PauseEnd::At(at(20)));
}

/// And a later one stays; to lift what is not there is no error.
pub async fn a_pause_is_lifted_by_its_end(store: &Store) {
    let name = || AccountName::new("a");
    let (early, late) = (PauseEnd::At(at(10)), PauseEnd::At(at(20)));
    store.put([Write::Lift(name(), early)]).await;
    store.put([Write::Pause(pause("a", late, 1))]).await;
    store.put([Write::Pause(pause("b", late, 2))]).await;
    store.put([Write::Lift(name(), early)]).await;
    store.put([Write::Lift(name(), PauseEnd::Resumed)]).await;
    assert_eq!(pauses(store).await.len(), 2);
    for _ in 0..2 {
        store.put([Write::Lift(name(), late)]).await;
        assert_eq!(pauses(store).await, [pause("b", late, 2)]);
    }
    store
        .put([Write::Pause(pause("a", PauseEnd::Resumed, 3))])
        .await;
    store.put([Write::Lift(name(), PauseEnd::Resumed)]).await;
    store.put([Write::Pause(pause("a", early, 4))]).await;
    assert_eq!(pauses(store).await[0], pause("a", early, 4));
}

/// As any other write.
pub async fn a_pause_is_stored_only_with_the_rest_of_its_commit(store: &Store) {
    store
        .put([Write::Pause(pause("a", PauseEnd::At(at(10)), 1))])
        .await;
    let stale = || {
        let mut task = sample::task(1);
        task.version = 7;
        Write::Task(task)
    };
    let writes = [Write::Pause(pause("a", PauseEnd::Resumed, 2)), stale()];
    assert_eq!(refused(store.write(writes).await), Conflict);
    let lift = Write::Lift(AccountName::new("a"), PauseEnd::At(at(10)));
    assert_eq!(refused(store.write([lift, stale()]).await), Conflict);
    assert_eq!(pauses(store).await, [pause("a", PauseEnd::At(at(10)), 1)]);
}

/// None of them is a conflict.
pub async fn of_many_who_pause_an_account_at_once_the_last_end_wins(store: &Store) {
    let mut writers = tokio::task::JoinSet::new();
    for n in 1..=20 {
        let port = store.shared();
        writers.spawn(async move {
            let until = PauseEnd::At(at(n * 7 % 20));
            let commit = crate::store::Commit::new().with(Write::Pause(pause("a", until, n)));
            port.commit(commit).await.expect("commit");
        });
    }
    writers.join_all().await;
    let found: Vec<_> = pauses(store).await.iter().map(|it| it.until).collect();
    assert_eq!(found, [PauseEnd::At(at(19))]);
}

async fn pauses(store: &Store) -> Vec<Pause> {
    store.port().pauses().await.expect("pauses")
}
