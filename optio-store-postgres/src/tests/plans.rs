//! Holds every statement against the planner, over more rows than a small table has: none may read a whole table that
//! grows with time.

use optio_core::{
    Timestamp,
    conformance::sample,
    repo::RepoUrl,
    run::Run,
    store::{OnlyLive, RunQuery, TaskOrder, TaskQuery},
    task::{StateName, Task},
    transcript::LogCursor,
};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use super::server::Database;
use crate::{
    PostgresStore,
    cell::Cell,
    query::{self, Query},
    statement,
};

/// Fills the tables as months of work would: nearly all tasks are done, few runs are live.
const MONTHS_OF_WORK: &str = "
    INSERT INTO tasks (id, version, state, repo, parent, depends_on, ticket_source, ticket_key, body)
    SELECT gen_random_uuid(), 1, CASE WHEN n % 1000 = 0 THEN 'queued' WHEN n % 10 = 0 THEN 'failed' ELSE 'completed' END,
           md5((n % 5)::text)::uuid, CASE WHEN n % 4 = 0 THEN md5(n::text)::uuid END,
           CASE WHEN n % 7 = 0 THEN ARRAY[md5(n::text)::uuid] END, 'github', 'acme/shop#' || n, repeat('x', 200)
    FROM generate_series(1, 20000) AS n;
    INSERT INTO runs (id, task, repo, epoch, live, workspace, started_at, cost_micros, body)
    SELECT gen_random_uuid(), md5(n::text)::uuid, md5((n % 5)::text)::uuid, 1, n % 1000 = 0, md5((n % 50)::text)::uuid,
           n * 1000000::bigint, 5, repeat('x', 200)
    FROM generate_series(1, 20000) AS n;
    INSERT INTO log (task, run, seq, body)
    SELECT md5((n % 200)::text)::uuid, 1, n / 200 + 1, repeat('x', 100) FROM generate_series(1, 20000) AS n;
    INSERT INTO audit (task, body)
    SELECT md5((n % 4000)::text)::uuid, repeat('x', 100) FROM generate_series(1, 20000) AS n;
    INSERT INTO outbox (id, not_before, due_at, attempts, body)
    SELECT gen_random_uuid(), n, n, 0, 'x' FROM generate_series(1, 500) AS n;
    ";

async fn plan(readers: &PgPool, sql: &str) -> Vec<String> {
    // as it is planned for any values, which is what many sessions come to use
    let mut connection = readers.acquire().await.unwrap();
    let name = "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(name).execute(&mut *connection).await.unwrap();
    let prepare = format!("PREPARE asked AS {sql}");
    sqlx::raw_sql(AssertSqlSafe(prepare))
        .execute(&mut *connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let count: i32 = sqlx::query_scalar(
        "SELECT coalesce(cardinality(parameter_types), 0) FROM pg_prepared_statements WHERE name = 'asked'",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let nulls = vec!["NULL"; usize::try_from(count).unwrap()].join(", ");
    let execute = if count == 0 {
        "EXPLAIN EXECUTE asked".to_owned()
    } else {
        format!("EXPLAIN EXECUTE asked({nulls})")
    };
    let rows = sqlx::raw_sql(AssertSqlSafe(execute))
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    rows.iter()
        .map(|row| row.get::<String, _>(0))
        .map(|line| line.split("  (cost=").next().unwrap_or_default().to_owned())
        .collect()
}

/// Steps that read all of a table that grows.
fn scans(plan: &[String]) -> bool {
    let grows = ["tasks", "runs", "log", "audit"];
    plan.iter().any(|line| {
        line.split("Seq Scan on ")
            .nth(1)
            .is_some_and(|rest| grows.contains(&rest.split(' ').next().unwrap_or_default()))
    })
}

fn task_queries() -> Vec<TaskQuery> {
    let alive = vec![StateName::Queued, StateName::Running];
    let dead = vec![StateName::Completed, StateName::Failed];
    let mut queries = Vec::new();
    for bits in 0..(1 << 6) {
        let on = |bit: u32| bits & (1 << bit) != 0;
        for states in [&alive, &dead] {
            for limit in [None, Some(50)] {
                queries.push(TaskQuery {
                    states: if on(0) { states.clone() } else { vec![] },
                    repo: on(1).then(|| sample::repo_id(1)),
                    parent: on(2).then(|| sample::task_id(1)),
                    depends_on: on(3).then(|| sample::task_id(1)),
                    ticket: on(4).then(|| ("github".to_owned(), "acme/shop#1".to_owned())),
                    after: on(5).then(|| sample::task_id(1)),
                    limit,
                    order: if on(1) {
                        TaskOrder::Descending
                    } else {
                        TaskOrder::Ascending
                    },
                });
            }
        }
    }
    // who asks for everything gets everything
    queries.retain(|query| {
        query.limit.is_some() || query.states.len() + usize::from(query.repo.is_some()) > 0
    });
    queries
}

fn texts() -> Vec<String> {
    let task = sample::task_id(1);
    let url: RepoUrl = "https://github.com/acme/shop".parse().unwrap();
    let id = || Cell::Id(task.as_uuid());
    let mut queries: Vec<Query> = task_queries().iter().map(query::tasks).collect();
    for bits in 1..8 {
        queries.push(query::runs(RunQuery {
            task: (bits & 1 != 0).then_some(task),
            workspace: (bits & 2 != 0).then(|| sample::workspace_id(1)),
            only_live: if bits & 4 != 0 {
                OnlyLive::Yes
            } else {
                OnlyLive::No
            },
        }));
    }
    queries.extend([
        query::one::<Task>(id()),
        query::one::<Run>(id()),
        query::repo_by_url(&url),
        query::history(task),
        query::log(task, LogCursor::default(), 10),
        query::log_tail(task, 10),
        query::spent(None, Timestamp::UNIX_EPOCH),
        query::spent(Some(sample::repo_id(1)), Timestamp::UNIX_EPOCH),
        query::counts(),
    ]);
    let mut texts: Vec<String> = queries.into_iter().map(|query| query.sql).collect();
    texts.extend([query::CLAIM, query::LEASE].map(str::to_owned));
    texts.extend(statement::texts().iter().map(ToString::to_string));
    texts.sort();
    texts.dedup();
    texts
}

async fn filled(database: &Database) -> PostgresStore {
    let store = database.store().await;
    database.run(MONTHS_OF_WORK).await;
    database.run("VACUUM ANALYZE").await;
    store
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let database = Database::create().await;
    let store = filled(&database).await;
    let mut bad = Vec::new();
    for text in texts() {
        let plan = plan(&store.readers, &text).await;
        if scans(&plan) {
            bad.push(format!("{text}\n  {}", plan.join("\n  ")));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[tokio::test]
async fn each_kind_of_query_uses_the_index_made_for_it() {
    let database = Database::create().await;
    let store = filled(&database).await;
    let page_of = |states: &[StateName], repo| TaskQuery {
        repo,
        limit: Some(50),
        ..TaskQuery::in_states(states.iter().copied())
    };
    let repo = Some(sample::repo_id(1));
    for (query, index) in [
        (
            query::tasks(&page_of(&[StateName::Failed, StateName::Completed], None)),
            "Index Only Scan using tasks_by_state",
        ),
        (
            query::tasks(&page_of(&[StateName::Queued], repo)),
            "Index Only Scan using tasks_by_repo_and_state",
        ),
        (
            query::tasks(&page_of(&[], repo)),
            "Index Scan using tasks_by_repo",
        ),
        (
            query::tasks(&TaskQuery {
                depends_on: Some(sample::task_id(1)),
                ..TaskQuery::default()
            }),
            "Bitmap Index Scan on tasks_by_dependency",
        ),
        (
            query::runs(RunQuery {
                only_live: OnlyLive::Yes,
                ..RunQuery::default()
            }),
            "runs_live",
        ),
        (
            query::spent(repo, Timestamp::UNIX_EPOCH),
            "Index Only Scan using runs_by_start",
        ),
        (
            query::log(sample::task_id(1), LogCursor::default(), 10),
            "Index Scan using log_pkey",
        ),
        (query::counts(), "Index Only Scan using tasks_by_state"),
        (
            Query::new(query::CLAIM, []),
            "Index Scan using outbox_pkey on outbox",
        ),
    ] {
        let plan = plan(&store.readers, &query.sql).await;
        assert!(
            plan.iter().any(|line| line.contains(index)),
            "{index} is not in\n{}",
            plan.join("\n")
        );
    }
}
