//! Runs: guards, epochs, what they cost.

use super::Store;
use crate::{
    conformance::{
        refused,
        sample::{self, HARD_TEXT},
    },
    error::ErrorKind::{Conflict, Invalid},
    id::{RunId, TaskId, WorkspaceId},
    money::Usd,
    run::{Progress, Run, RunPhase},
    store::{Commit, OnlyLive, RunQuery, RunsOf, Write},
    transcript::{Failed, RateLimited, SessionId},
};

/// Every phase and outcome, and every field at its hardest.
pub async fn a_run_is_read_back_in_every_phase(store: &Store) {
    for (n, phase) in (1..).zip(sample::run_phases()) {
        let mut run = sample::run(n, 1);
        run.phase = phase;
        run.agent = HARD_TEXT.to_owned();
        run.model = Some(HARD_TEXT.to_owned());
        run.resumes = Some(SessionId(HARD_TEXT.to_owned()));
        run.progress = Progress {
            stdout: 1 << 50,
            stderr: 3,
            seq: 1 << 33,
        };
        run.report.result = Some((Failed::No, HARD_TEXT.to_owned()));
        run.report.rate_limited = Some(RateLimited {
            resets_at: Some(sample::at(10)),
        });
        store.put([Write::NewRun(run.clone())]).await;
        assert_eq!(store.port().run(run.id).await.expect("run"), run);
    }
}

/// An id is used once.
pub async fn a_new_run_needs_a_new_id(store: &Store) {
    store.put([Write::NewRun(sample::run(1, 1))]).await;
    let again = store.write([Write::NewRun(sample::run(1, 2))]).await;
    assert_eq!(refused(again), Conflict);
    let stored = store.port().run(sample::run_id(1)).await.expect("run");
    assert_eq!(stored.task, sample::task_id(1));
}

/// No such run, another epoch, a run that has ended: nothing of the commit is stored.
pub async fn a_guard_needs_a_live_run_of_its_epoch(store: &Store) {
    let mut ended = sample::run(2, 1);
    ended.phase = ended_phase();
    store
        .put([Write::NewRun(sample::run(1, 1)), Write::NewRun(ended)])
        .await;
    for (run, epoch) in [(1, 0), (1, 2), (2, 1), (3, 1)] {
        let commit = Commit::new()
            .guarded(sample::run_id(run), epoch)
            .with(Write::Task(sample::task(1)));
        let failed = store.port().commit(commit).await;
        assert_eq!(refused(failed), Conflict, "run {run}, epoch {epoch}");
    }
    let commit = Commit::new()
        .guarded(sample::run_id(1), 1)
        .with(Write::Task(sample::task(1)));
    store.port().commit(commit).await.expect("commit");
}

/// Without a guard of its own epoch it is refused as invalid; with it, it is stored.
pub async fn a_run_is_changed_only_under_its_own_guard(store: &Store) {
    let mut run = sample::run(1, 1);
    store
        .put([Write::NewRun(run.clone()), Write::NewRun(sample::run(2, 1))])
        .await;
    run.progress.stdout = 10;
    assert_eq!(
        refused(store.write([Write::Run(run.clone())]).await),
        Invalid
    );
    let guard_of_another = Commit::new()
        .guarded(sample::run_id(2), 1)
        .with(Write::Run(run.clone()));
    assert_eq!(
        refused(store.port().commit(guard_of_another).await),
        Invalid
    );
    assert_eq!(stored(store, 1).await.progress.stdout, 0);
    change(store, &run).await.expect("commit");
    assert_eq!(stored(store, 1).await, run);
}

/// After the change of hands the old holder can write nothing under its epoch.
pub async fn a_run_that_changes_hands_fences_off_its_old_holder(store: &Store) {
    let old = sample::run(1, 1);
    store.put([Write::NewRun(old.clone())]).await;
    let taken = taken_over(&old, "b");
    store.put([Write::TakeOver(taken.clone())]).await;
    assert_eq!(stored(store, 1).await, taken);

    assert_eq!(refused(change(store, &old).await), Conflict);
    let log = Write::Log(old.task, vec![sample::log_entry(1, 1, "too late")]);
    let commit = Commit::new().guarded(old.id, old.epoch).with(log);
    assert_eq!(refused(store.port().commit(commit).await), Conflict);
    assert_eq!(
        refused(store.write([Write::TakeOver(taken.clone())]).await),
        Conflict
    );
    change(store, &taken).await.expect("the new holder commits");
}

/// What its old holder stored after the taker had read it stays.
pub async fn a_run_that_changes_hands_keeps_what_is_stored(store: &Store) {
    let seen = sample::run(1, 1);
    store.put([Write::NewRun(seen.clone())]).await;
    let mut written = seen.clone();
    written.progress.seq = 7;
    written.heard_at = crate::clock::later(seen.heard_at, std::time::Duration::from_secs(1));
    change(store, &written).await.expect("the holder commits");
    let taken = taken_over(&seen, "b");
    store.put([Write::TakeOver(taken.clone())]).await;
    let expected = Run {
        epoch: taken.epoch,
        lease: taken.lease,
        ..written
    };
    assert_eq!(stored(store, 1).await, expected);
}

/// Not from the same one, not over one, not a run that is unknown.
pub async fn a_run_changes_hands_only_from_the_epoch_below(store: &Store) {
    let run = sample::run(1, 1);
    store.put([Write::NewRun(run.clone())]).await;
    for epoch in [1, 3] {
        let taken = Run {
            epoch,
            ..run.clone()
        };
        let failed = store.write([Write::TakeOver(taken)]).await;
        assert_eq!(refused(failed), Conflict, "epoch {epoch}");
    }
    let unknown = taken_over(&sample::run(2, 1), "b");
    assert_eq!(
        refused(store.write([Write::TakeOver(unknown)]).await),
        Conflict
    );
    assert_eq!(stored(store, 1).await, run);
}

/// It can neither be changed nor taken over.
pub async fn a_run_that_has_ended_stays_as_it_is(store: &Store) {
    let mut run = sample::run(1, 1);
    store.put([Write::NewRun(run.clone())]).await;
    run.phase = ended_phase();
    change(store, &run).await.expect("its end is stored");
    assert_eq!(refused(change(store, &run).await), Conflict);
    let taken = taken_over(&run, "b");
    assert_eq!(
        refused(store.write([Write::TakeOver(taken)]).await),
        Conflict
    );
    assert_eq!(stored(store, 1).await, run);
}

/// Ascending by id.
pub async fn runs_are_found_by_task_workspace_and_life(store: &Store) {
    let mut ended = sample::run(2, 1);
    ended.phase = ended_phase();
    let mut elsewhere = sample::run(3, 2);
    elsewhere.workspace = sample::workspace_id(2);
    let all = [elsewhere, ended, sample::run(1, 1)];
    store.put(all.map(Write::NewRun)).await;

    let ask = async |task: Option<TaskId>, workspace: Option<WorkspaceId>, only_live| {
        let query = RunQuery {
            task,
            workspace,
            only_live,
        };
        let runs = store.port().runs(&query).await.expect("runs");
        runs.iter().map(|run| run.id).collect::<Vec<RunId>>()
    };
    let ids =
        |numbers: &[u64]| -> Vec<RunId> { numbers.iter().map(|n| sample::run_id(*n)).collect() };
    let (task, place) = (sample::task_id, sample::workspace_id);
    assert_eq!(ask(None, None, OnlyLive::No).await, ids(&[1, 2, 3]));
    assert_eq!(ask(None, None, OnlyLive::Yes).await, ids(&[1, 3]));
    assert_eq!(ask(Some(task(1)), None, OnlyLive::No).await, ids(&[1, 2]));
    assert_eq!(ask(Some(task(1)), None, OnlyLive::Yes).await, ids(&[1]));
    assert_eq!(ask(None, Some(place(2)), OnlyLive::No).await, ids(&[3]));
    assert_eq!(ask(Some(task(1)), Some(place(2)), OnlyLive::No).await, []);
}

/// Exactly, to the millionth; a run counts from the moment it started, that moment included.
pub async fn spending_adds_up_runs_by_repository_and_time(store: &Store) {
    let mut elsewhere = sample::run_that_cost(3, 4.0, sample::at(20));
    elsewhere.repo = sample::repo_id(2);
    let runs = [
        sample::run_that_cost(1, 0.1, sample::at(10)),
        sample::run_that_cost(2, 0.200_001, sample::at(20)),
        elsewhere,
    ];
    store.put(runs.map(Write::NewRun)).await;
    let spent = async |repo: Option<u64>, since| {
        let spent = store.port().spent(repo.map(sample::repo_id), since);
        spent.await.expect("spent").micros()
    };
    assert_eq!(spent(None, sample::at(0)).await, 4_300_001);
    assert_eq!(spent(Some(1), sample::at(10)).await, 300_001);
    assert_eq!(spent(Some(1), sample::at(11)).await, 200_001);
    assert_eq!(spent(Some(2), sample::at(0)).await, 4_000_000);
    assert_eq!(spent(None, sample::at(21)).await, 0);
    assert_eq!(spent(Some(3), sample::at(0)).await, 0);
    // what a run reports later counts as well
    let mut later = sample::run_that_cost(1, 0.1, sample::at(10));
    later.report.usage.cost = Usd::from_dollars(1.0);
    change(store, &later).await.expect("commit");
    assert_eq!(spent(Some(1), sample::at(10)).await, 1_200_001);
}

fn ended_phase() -> RunPhase {
    (sample::run_phases().into_iter().last()).expect("the last phase is an end")
}

fn taken_over(run: &Run, by: &str) -> Run {
    let mut taken = run.clone();
    taken.epoch += 1;
    taken.lease.holder = sample::worker(by);
    taken
}

async fn stored(store: &Store, n: u64) -> Run {
    store.port().run(sample::run_id(n)).await.expect("run")
}

/// Writes a run as its holder does.
async fn change(store: &Store, run: &Run) -> crate::error::Result<()> {
    let commit = Commit::new()
        .guarded(run.id, run.epoch)
        .with(Write::Run(run.clone()));
    store.port().commit(commit).await
}

/// A commit that would leave more runs live than it says is refused, and nothing of it is stored. Runs that have ended,
/// and with a repository or a workspace those of others, do not count.
pub async fn live_runs_are_counted_in_the_commit(store: &Store) {
    let (here, there) = (sample::repo_id(1), sample::repo_id(2));
    let (near, far) = (sample::workspace_id(1), sample::workspace_id(2));
    let place = |n: u64, repo| Run {
        repo,
        workspace: if repo == here { near } else { far },
        ..sample::run(n, 1)
    };
    let mut ended = place(1, here);
    ended.phase = ended_phase();
    store
        .put([Write::NewRun(ended), Write::NewRun(place(2, here))])
        .await;
    let rows = [
        (3, here, RunsOf::Fleet, 1, false),
        (4, here, RunsOf::Repo(here), 1, false),
        (5, here, RunsOf::Repo(here), 2, true),
        (6, there, RunsOf::Fleet, 2, false),
        (7, there, RunsOf::Repo(there), 1, true),
        (8, there, RunsOf::Fleet, 4, true),
        (9, here, RunsOf::Workspace(near), 2, false),
        (10, here, RunsOf::Workspace(near), 3, true),
        (11, there, RunsOf::Workspace(near), 3, true),
    ];
    for (n, repo, of, limit, fits) in rows {
        let run = place(n, repo);
        let condition = Write::LiveRunsAtMost { of, limit };
        let outcome = store.write([Write::NewRun(run.clone()), condition]).await;
        assert_eq!(store.port().run(run.id).await.is_ok(), fits, "run {n}");
        match outcome {
            Ok(()) => assert!(fits, "run {n}"),
            Err(error) => assert_eq!((error.kind(), fits), (Conflict, false), "run {n}"),
        }
    }
}
