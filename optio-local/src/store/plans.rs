//! Holds every statement against the query planner: none may read a whole table that grows with time.

use optio_core::{
    clock::SystemClock,
    id::{RepoId, TaskId, WorkspaceId},
    repo::RepoUrl,
    run::Run,
    store::{OnlyLive, RunQuery, TaskQuery},
    task::{StateName, Task},
    transcript::LogCursor,
};
use sqlx::{AssertSqlSafe, Row as _};

use super::{SqliteStore, cell::Cell, query, statement};
use optio_core::Timestamp;

async fn plan(store: &SqliteStore, sql: &str) -> Vec<String> {
    sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(&store.readers)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .iter()
        .map(|row| row.get::<String, _>(3))
        .collect()
}

/// Steps that read all of a table. The index of live runs holds only those, and all of them are asked for.
fn scans(plan: &[String]) -> Vec<&String> {
    plan.iter()
        .filter(|step| *step != "SCAN runs USING INDEX runs_live")
        .filter(|step| {
            let mut words = step.split(' ');
            words.next() == Some("SCAN")
                && words.next().is_some_and(|table| {
                    ["tasks", "task_dependencies", "runs", "log", "audit"].contains(&table)
                })
        })
        .collect()
}

fn task_queries() -> Vec<TaskQuery> {
    let (task, repo) = (
        TaskId::generate(&SystemClock),
        RepoId::generate(&SystemClock),
    );
    let alive = vec![StateName::Queued, StateName::Running];
    let dead = vec![StateName::Completed, StateName::Failed];
    let mut queries = Vec::new();
    // every combination of conditions but the empty one
    for bits in 1..(1 << 7) {
        let on = |bit: u32| bits & (1 << bit) != 0;
        for states in [&alive, &dead] {
            for limit in [None, Some(50)] {
                queries.push(TaskQuery {
                    ids: on(6).then(|| vec![task, TaskId::generate(&SystemClock)]),
                    states: if on(0) { states.clone() } else { vec![] },
                    repo: on(1).then_some(repo),
                    parent: on(2).then_some(task),
                    depends_on: on(3).then_some(task),
                    ticket: on(4).then(|| ("github".to_owned(), "acme/shop#1".to_owned())),
                    after: on(5).then_some(task),
                    limit,
                    ..TaskQuery::default()
                });
            }
        }
    }
    queries
}

#[tokio::test]
async fn no_query_reads_a_whole_table() {
    let store = SqliteStore::in_memory().await.unwrap();
    let (task, repo) = (
        TaskId::generate(&SystemClock),
        RepoId::generate(&SystemClock),
    );
    let url: RepoUrl = "https://github.com/acme/shop".parse().unwrap();
    let id = || Cell::Id(task.as_uuid());
    let mut texts: Vec<String> = task_queries().iter().map(|q| query::tasks(q).sql).collect();
    for bits in 1..8 {
        texts.push(
            query::runs(RunQuery {
                task: (bits & 1 != 0).then_some(task),
                workspace: (bits & 2 != 0).then(|| WorkspaceId::generate(&SystemClock)),
                only_live: if bits & 4 != 0 {
                    OnlyLive::Yes
                } else {
                    OnlyLive::No
                },
            })
            .sql,
        );
    }
    texts.extend(
        [
            query::one::<Task>(id()),
            query::one::<Run>(id()),
            query::repo_by_url(&url),
            query::history(task),
            query::old_logs(Timestamp::UNIX_EPOCH, 10),
            query::log(task, LogCursor::default(), 10),
            query::log_tail(task, 10),
            query::spent(None, Timestamp::UNIX_EPOCH),
            query::spent(Some(repo), Timestamp::UNIX_EPOCH),
            query::any_due(Timestamp::UNIX_EPOCH),
        ]
        .map(|query| query.sql),
    );
    texts.extend([query::CLAIM, query::LEASE].map(str::to_owned));
    texts.extend(statement::texts().iter().map(|text| text.to_string()));
    texts.sort();
    texts.dedup();
    let mut bad = Vec::new();
    for text in &texts {
        let plan = plan(&store, text).await;
        if !scans(&plan).is_empty() {
            bad.push(format!("{text}\n  {}", plan.join("\n  ")));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[tokio::test]
async fn each_kind_of_query_uses_the_index_made_for_it() {
    let store = SqliteStore::in_memory().await.unwrap();
    let repo = RepoId::generate(&SystemClock);
    let task = TaskId::generate(&SystemClock);
    let by_repo = |states: &[StateName]| TaskQuery {
        repo: Some(repo),
        limit: Some(50),
        ..TaskQuery::in_states(states.iter().copied())
    };
    let mut shown = Vec::new();
    for (name, query) in [
        (
            "live tasks",
            query::tasks(&TaskQuery::in_states([StateName::Queued])),
        ),
        (
            "live tasks of a repo",
            query::tasks(&by_repo(&[StateName::Queued])),
        ),
        (
            "dead tasks of a repo",
            query::tasks(&by_repo(&[StateName::Failed])),
        ),
        (
            "the newest tasks",
            query::tasks(&TaskQuery {
                limit: Some(9),
                ..TaskQuery::default()
            }),
        ),
        ("the count of tasks", query::counts()),
        (
            "live runs",
            query::runs(RunQuery {
                only_live: OnlyLive::Yes,
                ..RunQuery::default()
            }),
        ),
        (
            "money spent",
            query::spent(Some(repo), Timestamp::UNIX_EPOCH),
        ),
        (
            "a log from a cursor",
            query::log(task, LogCursor::default(), 10),
        ),
        ("claims", query::Query::new(query::CLAIM, [])),
    ] {
        shown.push(format!(
            "{name}: {}",
            plan(&store, &query.sql).await.join("; ")
        ));
    }
    insta::assert_snapshot!(shown.join("\n"), @r"
    live tasks: SEARCH tasks USING INDEX tasks_by_state (state=?)
    live tasks of a repo: SEARCH tasks USING INDEX tasks_by_id (id=?); LIST SUBQUERY 1; SEARCH tasks USING INDEX tasks_by_state (state=?); CREATE BLOOM FILTER
    dead tasks of a repo: SEARCH tasks USING INDEX tasks_by_id (id=?); LIST SUBQUERY 1; SEARCH tasks USING INDEX tasks_by_repo (repo=?); CREATE BLOOM FILTER
    the newest tasks: SEARCH tasks USING INDEX tasks_by_id (id=?); LIST SUBQUERY 1; SCAN tasks USING COVERING INDEX tasks_by_id; CREATE BLOOM FILTER
    the count of tasks: SCAN tasks USING COVERING INDEX tasks_by_state
    live runs: SCAN runs USING INDEX runs_live
    money spent: SEARCH runs USING COVERING INDEX runs_by_start (started_at>?)
    a log from a cursor: SEARCH log USING PRIMARY KEY (task=? AND (run,seq)>(?,?))
    claims: SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?); LIST SUBQUERY 1; SCAN outbox USING COVERING INDEX outbox_by_age; CREATE BLOOM FILTER
    ");
}
