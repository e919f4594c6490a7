//! Records: versions, round trips, uniqueness.

use super::Store;
use crate::{
    conformance::{
        refused,
        sample::{self, HARD_TEXT},
    },
    error::ErrorKind::{Conflict, NotFound},
    id::ScheduleId,
    money::{Usage, Usd},
    pull_request::{PrNumber, PullRequestRef},
    store::{TaskQuery, Write},
    task::{Attempts, Blocking, Cause, CauseKind, StateName, TaskRole, TicketRef},
    transcript::{LogCursor, SessionId},
    workspace::{Workspace, WorkspacePath, WorkspaceState},
    worktree::{Worktree, WorktreeState},
};

/// A new record has version zero and is stored with version one, whatever its kind.
pub async fn a_new_record_is_stored_with_version_one(store: &Store) {
    store.put(one_of_each(0)).await;
    assert_eq!(versions(store).await, [1; 5]);
}

/// Reads of single records fail with `NotFound`; lists are empty.
pub async fn what_is_not_there_is_not_found(store: &Store) {
    let port = store.port();
    let task = sample::task_id(1);
    assert_eq!(refused(port.task(task).await), NotFound);
    assert_eq!(refused(port.run(sample::run_id(1)).await), NotFound);
    assert_eq!(refused(port.repo(sample::repo_id(1)).await), NotFound);
    let url = sample::repo(1).url;
    assert_eq!(port.repo_by_url(&url).await.expect("repo_by_url"), None);
    assert_eq!(port.tasks(&TaskQuery::default()).await.expect("tasks"), []);
    assert_eq!(port.count_tasks().await.expect("count_tasks"), []);
    assert_eq!(port.repos().await.expect("repos"), []);
    assert_eq!(port.workspaces().await.expect("workspaces"), []);
    assert_eq!(port.schedules().await.expect("schedules"), []);
    assert_eq!(port.webhooks().await.expect("webhooks"), []);
    assert_eq!(port.history(task).await.expect("history"), []);
    let log = port.log(task, LogCursor::default(), 10).await;
    assert_eq!(log.expect("log"), []);
    assert_eq!(port.log_tail(task, 10).await.expect("log_tail"), []);
}

/// A record read, changed and written is stored with the next version.
pub async fn a_change_of_the_stored_version_is_stored_with_the_next(store: &Store) {
    store.put(one_of_each(0)).await;
    store.put(one_of_each(1)).await;
    let mut task = store.port().task(sample::task_id(1)).await.expect("task");
    task.title = "another title".to_owned();
    store.put([Write::Task(task.clone())]).await;
    task.version = 3;
    assert_eq!(store.port().task(task.id).await.expect("task"), task);
    assert_eq!(versions(store).await, [3, 2, 2, 2, 2]);
}

/// An older version, a newer one, and zero are all refused, for each kind of record.
pub async fn a_stale_version_is_a_conflict_and_changes_nothing(store: &Store) {
    store.put(one_of_each(0)).await;
    store.put(one_of_each(1)).await;
    for version in [0, 1, 3] {
        for write in one_of_each(version) {
            let what = format!("{write:?}");
            assert_eq!(refused(store.write([write]).await), Conflict, "{what}");
        }
    }
    assert_eq!(versions(store).await, [2; 5]);
}

/// A record that claims to be a change of something unknown is refused.
pub async fn a_record_that_is_not_there_cannot_be_changed(store: &Store) {
    for write in one_of_each(1) {
        let what = format!("{write:?}");
        assert_eq!(refused(store.write([write]).await), Conflict, "{what}");
    }
    let forget = Write::ForgetWorkspace(sample::workspace_id(1), 1);
    assert_eq!(refused(store.write([forget]).await), Conflict);
    assert_eq!(versions(store).await, [0_u64; 0]);
}

/// Writes are carried out in order: the second one sees the first.
pub async fn one_commit_may_change_a_record_twice(store: &Store) {
    let mut second = sample::task(1);
    second.version = 1;
    second.title = "second".to_owned();
    store
        .put([Write::Task(sample::task(1)), Write::Task(second)])
        .await;
    let stored = store.port().task(sample::task_id(1)).await.expect("task");
    assert_eq!((stored.version, stored.title.as_str()), (2, "second"));
}

/// Every state with all its data.
pub async fn a_task_is_read_back_in_every_state(store: &Store) {
    for (n, state) in (1..).zip(sample::task_states()) {
        let mut task = sample::task(n);
        task.state = state;
        store.put([Write::Task(task.clone())]).await;
        task.version = 1;
        assert_eq!(store.port().task(task.id).await.expect("task"), task);
    }
}

/// Every field at its hardest.
pub async fn a_task_is_read_back_with_all_its_fields(store: &Store) {
    let hard = HARD_TEXT.to_owned();
    let mut tasks = [sample::task(1), sample::task(2)];
    for (task, priority) in tasks.iter_mut().zip([i32::MIN, i32::MAX]) {
        task.title.clone_from(&hard);
        task.body = HARD_TEXT.repeat(2_000);
        task.priority = priority;
        task.agent = Some(hard.clone());
        task.model = Some(String::new());
        task.role = TaskRole::Review {
            parent: sample::task_id(9),
            blocks_parent: Blocking::BlocksParent,
            head: sample::commit_id(1),
        };
        task.depends_on = vec![sample::task_id(8), sample::task_id(7)];
        task.ticket = Some(TicketRef {
            source: "linear".to_owned(),
            key: hard.clone(),
            url: Some(hard.clone()),
        });
        task.branch = "optio/žluťoučký-kůň".to_owned();
        task.pull_request = Some(PullRequestRef {
            number: PrNumber(u64::from(u32::MAX)),
            url: hard.clone(),
        });
        task.worktree = Some(Worktree {
            workspace: sample::workspace_id(1),
            path: WorkspacePath::root().child(HARD_TEXT),
            state: WorktreeState::Preserved,
            since: sample::at(3),
        });
        task.last_workspace = Some(sample::workspace_id(2));
        task.session = Some(SessionId(hard.clone()));
        task.runs = u32::MAX;
        task.attempts = Attempts {
            failures: 1,
            free: 2,
            ci: 3,
            review: 4,
            conflict: 5,
        };
        task.handled = vec![Cause {
            kind: CauseKind::Conflict,
            head: sample::commit_id(2),
            mark: hard.clone(),
        }];
        task.last_green = Some(sample::commit_id(3));
        task.usage = Usage {
            cost: Usd::from_micros(1_234_567),
            input_tokens: 1 << 40,
            cached_tokens: 1 << 39,
            output_tokens: 1,
        };
        store.put([Write::Task(task.clone())]).await;
        task.version = 1;
    }
    let stored = store.port().tasks(&TaskQuery::default()).await;
    assert_eq!(stored.expect("tasks"), tasks);
}

/// Case, `.git`, scheme and user do not matter.
pub async fn a_repository_is_found_by_every_spelling_of_its_address(store: &Store) {
    let mut repo = sample::repo(1);
    repo.settings.check_command = Some(HARD_TEXT.to_owned());
    repo.settings.max_cost_per_day = Some(Usd::from_micros(2_500_001));
    store
        .put([Write::Repo(repo.clone()), Write::Repo(sample::repo(2))])
        .await;
    repo.version = 1;
    assert_eq!(store.port().repo(repo.id).await.expect("repo"), repo);
    for url in [
        "https://git.example/acme/shop-1",
        "https://git.example/Acme/Shop-1.git",
        "git@git.example:acme/shop-1.git",
    ] {
        let found = store.port().repo_by_url(&url.parse().expect(url)).await;
        let found = found.expect("repo_by_url").expect(url);
        assert_eq!(found, repo);
        assert_eq!(found.url.as_str(), "https://git.example/acme/shop-1");
    }
}

/// Another repository with the same address is refused; the same one may spell its address anew.
pub async fn two_repositories_cannot_share_an_address(store: &Store) {
    store.put([Write::Repo(sample::repo(1))]).await;
    let spelt_anew = "git@git.example:acme/shop-1.git";
    let mut other = sample::repo(2);
    other.url = spelt_anew.parse().expect("an address");
    assert_eq!(
        refused(store.write([Write::Repo(other.clone())]).await),
        Conflict
    );
    let mut same = sample::repo(1);
    same.version = 1;
    same.url = other.url.clone();
    store.put([Write::Repo(same)]).await;
    // one that moves away makes room
    let mut moved = sample::repo(1);
    moved.version = 2;
    moved.url = "https://git.example/acme/moved"
        .parse()
        .expect("an address");
    store.put([Write::Repo(moved), Write::Repo(other)]).await;
    let repos = store.port().repos().await.expect("repos");
    let urls: Vec<_> = repos.iter().map(|repo| repo.url.as_str()).collect();
    assert_eq!(urls, ["https://git.example/acme/moved", spelt_anew]);
}

/// They are sorted, and forgotten only in their stored version.
pub async fn workspaces_come_by_repository_and_ordinal_until_they_are_forgotten(store: &Store) {
    let mut lost = sample::workspace(1);
    lost.state = WorkspaceState::Lost {
        failure: sample::failure(),
    };
    let mut elsewhere = sample::workspace(4);
    elsewhere.repo = sample::repo_id(2);
    elsewhere.ordinal = 0;
    let mut first = sample::workspace(3);
    first.ordinal = 0;
    let all = [elsewhere, sample::workspace(2), lost.clone(), first];
    store.put(all.map(Write::Workspace)).await;
    let stored = store.port().workspaces().await.expect("workspaces");
    let ids: Vec<_> = stored.iter().map(|workspace| workspace.id).collect();
    assert_eq!(ids, [3, 1, 2, 4].map(sample::workspace_id));
    lost.version = 1;
    assert_eq!(stored[1], lost);

    let stale = Write::ForgetWorkspace(sample::workspace_id(2), 2);
    assert_eq!(refused(store.write([stale]).await), Conflict);
    store
        .put([Write::ForgetWorkspace(sample::workspace_id(2), 1)])
        .await;
    let left = store.port().workspaces().await.expect("workspaces");
    let ids: Vec<_> = left.iter().map(|workspace| workspace.id).collect();
    assert_eq!(ids, [3, 1, 4].map(sample::workspace_id));
}

/// Of those that take runs: who is on its way out, or lost, stands in nobody's way.
pub async fn two_workspaces_that_take_runs_cannot_share_a_place(store: &Store) {
    let at_place = |n, state: WorkspaceState| Workspace {
        ordinal: 0,
        state,
        ..sample::workspace(n)
    };
    let lost = || WorkspaceState::Lost {
        failure: sample::failure(),
    };
    let put = async |workspace: &Workspace, version| {
        let workspace = Workspace {
            version,
            ..workspace.clone()
        };
        store.write([Write::Workspace(workspace)]).await
    };
    let mut first = at_place(1, WorkspaceState::Creating);
    put(&first, 0).await.expect("the first");
    let second = at_place(2, WorkspaceState::Creating);
    assert_eq!(refused(put(&second, 0).await), Conflict);
    first.state = WorkspaceState::Ready;
    put(&first, 1).await.expect("the first again");
    let mut elsewhere = at_place(3, WorkspaceState::Ready);
    elsewhere.repo = sample::repo_id(2);
    put(&elsewhere, 0).await.expect("another repository");
    for (n, state) in [(4, lost()), (5, WorkspaceState::Removing)] {
        put(&at_place(n, state), 0).await.expect("it takes no runs");
        let back = at_place(n, WorkspaceState::Ready);
        assert_eq!(refused(put(&back, 1).await), Conflict);
    }
    // in one commit as well, and all of it is left out
    let both = [6, 7].map(|n| at_place(n, WorkspaceState::Creating));
    let both = both.map(|workspace| {
        Write::Workspace(Workspace {
            ordinal: 9,
            ..workspace
        })
    });
    assert_eq!(refused(store.write(both).await), Conflict);
    first.state = lost();
    put(&first, 2).await.expect("the first is lost");
    put(&second, 0).await.expect("its place is free");
    assert_eq!(store.port().workspaces().await.expect("all").len(), 5);
}

/// Use moves its time and its version, and nothing else; so who has read it before does not take it away.
pub async fn a_workspace_is_used_whatever_was_read_of_it_if_it_takes_runs(store: &Store) {
    let seen = Workspace {
        version: 1,
        ..sample::workspace(1)
    };
    store.put([Write::Workspace(sample::workspace(1))]).await;
    let use_at = |moment| Write::UseWorkspace(seen.id, sample::at(moment));
    for moment in [70, 90] {
        store.put([use_at(moment)]).await;
    }
    let used = Workspace {
        used_at: sample::at(90),
        version: 3,
        ..seen.clone()
    };
    let stored = store.port().workspaces().await.expect("workspaces");
    assert_eq!(stored, std::slice::from_ref(&used));

    let removing = |workspace: &Workspace| {
        Write::Workspace(Workspace {
            state: WorkspaceState::Removing,
            ..workspace.clone()
        })
    };
    assert_eq!(refused(store.write([removing(&seen)]).await), Conflict);
    store.put([removing(&used)]).await;
    let unknown = Write::UseWorkspace(sample::workspace_id(2), sample::at(95));
    for late in [use_at(95), unknown] {
        assert_eq!(refused(store.write([late]).await), Conflict);
    }
    let stored = store.port().workspaces().await.expect("workspaces");
    assert_eq!((stored.len(), stored[0].used_at), (1, sample::at(90)));
}

/// They come by id; forgetting what is gone is no error.
pub async fn schedules_and_webhooks_are_kept_until_they_are_forgotten(store: &Store) {
    let (mut schedule, mut webhook) = (sample::schedule(1), sample::webhook(1));
    schedule.body = HARD_TEXT.to_owned();
    schedule.last_at = Some(sample::at(2));
    schedule.next_at = None;
    webhook.states = StateName::ALL.to_vec();
    store
        .put([
            Write::Schedule(sample::schedule(2)),
            Write::Webhook(sample::webhook(2)),
            Write::Schedule(schedule.clone()),
            Write::Webhook(webhook.clone()),
        ])
        .await;
    schedule.version = 1;
    webhook.version = 1;
    let schedules = store.port().schedules().await.expect("schedules");
    let ids: Vec<ScheduleId> = schedules.iter().map(|schedule| schedule.id).collect();
    assert_eq!(ids, [1, 2].map(sample::schedule_id));
    assert_eq!(schedules[0], schedule);
    assert_eq!(store.port().webhooks().await.expect("webhooks")[0], webhook);

    for _ in 0..2 {
        store
            .put([
                Write::ForgetSchedule(schedule.id),
                Write::ForgetWebhook(webhook.id),
            ])
            .await;
        assert_eq!(store.port().schedules().await.expect("schedules").len(), 1);
        assert_eq!(store.port().webhooks().await.expect("webhooks").len(), 1);
    }
}

/// Also where the clock stood still.
pub async fn history_is_kept_in_the_order_of_its_writing(store: &Store) {
    let mut lines: Vec<_> = (0..12)
        .map(|n| sample::audit(1, &format!("event {n}")))
        .collect();
    lines[3].detail = Some(HARD_TEXT.to_owned());
    lines[4].from = None;
    for pair in lines.chunks(2) {
        store.put(pair.iter().cloned().map(Write::Audit)).await;
    }
    store.put([Write::Audit(sample::audit(2, "other"))]).await;
    let stored = store.port().history(sample::task_id(1)).await;
    assert_eq!(stored.expect("history"), lines);
}

/// A record of each kind that counts its changes, at this version.
fn one_of_each(version: u64) -> Vec<Write> {
    let mut task = sample::task(1);
    let mut repo = sample::repo(1);
    let mut workspace = sample::workspace(1);
    let mut schedule = sample::schedule(1);
    let mut webhook = sample::webhook(1);
    task.version = version;
    repo.version = version;
    workspace.version = version;
    schedule.version = version;
    webhook.version = version;
    vec![
        Write::Task(task),
        Write::Repo(repo),
        Write::Workspace(workspace),
        Write::Schedule(schedule),
        Write::Webhook(webhook),
    ]
}

/// The versions of all tasks, repositories, workspaces, schedules and webhooks.
async fn versions(store: &Store) -> Vec<u64> {
    let port = store.port();
    let mut versions = Vec::new();
    let tasks = port.tasks(&TaskQuery::default()).await.expect("tasks");
    versions.extend(tasks.iter().map(|task| task.version));
    let repos = port.repos().await.expect("repos");
    versions.extend(repos.iter().map(|repo| repo.version));
    let workspaces = port.workspaces().await.expect("workspaces");
    versions.extend(workspaces.iter().map(|workspace| workspace.version));
    let schedules = port.schedules().await.expect("schedules");
    versions.extend(schedules.iter().map(|schedule| schedule.version));
    let webhooks = port.webhooks().await.expect("webhooks");
    versions.extend(webhooks.iter().map(|webhook| webhook.version));
    versions
}
