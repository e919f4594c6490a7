//! Holds every statement against the planner, over a hundred thousand tasks: none may read a whole table that grows with
//! time, neither in a session of the store, which is kept from it, nor as the planner likes it by itself.

use optio_core::{
    Timestamp,
    conformance::sample,
    repo::RepoUrl,
    run::Run,
    store::{OnlyLive, RunQuery, TaskOrder, TaskQuery},
    task::{StateName, Task},
    transcript::LogCursor,
};
use sqlx::{AssertSqlSafe, Row as _};

use super::server::Database;
use crate::{
    PostgresStore,
    cell::Cell,
    claim, log,
    pool::Pool,
    query::{self, Query},
    statement,
};

/// Fills the tables as months of work would: nearly all tasks are done, few runs are live. Whoever is told of tasks is
/// away, so that the outbox is full.
const MONTHS_OF_WORK: &str = "
    INSERT INTO tasks (id, version, state, repo, parent, depends_on, ticket_source, ticket_key, body)
    SELECT gen_random_uuid(), 1, CASE WHEN n % 1000 = 0 THEN 'queued' WHEN n % 10 = 0 THEN 'failed' ELSE 'completed' END,
           md5((n % 5)::text)::uuid, CASE WHEN n % 4 = 0 THEN md5(n::text)::uuid END,
           CASE WHEN n % 7 = 0 THEN ARRAY[md5(n::text)::uuid] END, 'github', 'acme/shop#' || n, repeat('x', 200)
    FROM generate_series(1, 100000) AS n;
    INSERT INTO runs (id, task, repo, epoch, live, workspace, started_at, cost_micros, ended_at, log_removed, body)
    SELECT gen_random_uuid(), md5(n::text)::uuid, md5((n % 5)::text)::uuid, 1, n % 1000 = 0, md5((n % 500)::text)::uuid,
           n * 1000000::bigint, 5, CASE WHEN n % 1000 <> 0 THEN n * 1000000::bigint END, n < 50000, repeat('x', 200)
    FROM generate_series(1, 100000) AS n;
    INSERT INTO log_batches (task, run, first, last, body)
    SELECT md5((n % 1000)::text)::uuid, 1, n / 1000 * 10 + 1, n / 1000 * 10 + 10, convert_to(repeat('x', 100), 'UTF8')
    FROM generate_series(0, 99999) AS n;
    INSERT INTO audit (task, body)
    SELECT md5((n % 20000)::text)::uuid, repeat('x', 100) FROM generate_series(1, 100000) AS n;
    INSERT INTO outbox (id, not_before, due_at, attempts, body)
    SELECT gen_random_uuid(), n, n, 0, repeat('x', 200) FROM generate_series(1, 20000) AS n;
    ";

/// What the planner may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planner {
    /// What sessions of the store let it.
    OfTheStore,
    /// Whatever it thinks best.
    Free,
}

async fn plan(readers: &Pool, planner: Planner, sql: &str) -> Vec<String> {
    // as it is planned for any values, which is what many sessions come to use
    let mut connection = readers.acquire().await.unwrap();
    let allowed = match planner {
        Planner::OfTheStore => "off",
        Planner::Free => "on",
    };
    let settings = format!(
        "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = {allowed}; \
         SET enable_hashjoin = {allowed}; SET enable_mergejoin = {allowed}"
    );
    sqlx::raw_sql(AssertSqlSafe(settings))
        .execute(&mut *connection)
        .await
        .unwrap();
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
    let grows = ["tasks", "runs", "log_batches", "audit", "outbox"];
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
    for bits in 0..(1 << 7) {
        let on = |bit: u32| bits & (1 << bit) != 0;
        for states in [&alive, &dead] {
            for limit in [None, Some(50)] {
                queries.push(TaskQuery {
                    ids: on(6).then(|| vec![sample::task_id(1), sample::task_id(2)]),
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
        log::behind(task, LogCursor::default(), 10),
        log::tail(task, 10),
        query::old_logs(Timestamp::UNIX_EPOCH, 10),
        query::spent(None, Timestamp::UNIX_EPOCH),
        query::spent(Some(sample::repo_id(1)), Timestamp::UNIX_EPOCH),
        query::counts(),
    ]);
    let mut texts: Vec<String> = queries.into_iter().map(|query| query.sql).collect();
    texts.extend([claim::CLAIM, claim::LEASE].map(str::to_owned));
    texts.extend(statement::texts().iter().map(ToString::to_string));
    texts.sort();
    texts.dedup();
    texts
}

/// Statements whose answer may be most of a table, so that reading all of it may be the best way: the counts of all
/// states, and tasks by state or repository without a limit. The engine asks so for states that few tasks are in.
fn asks_for_most(text: &str) -> bool {
    let tasks =
        text.contains("FROM tasks") && !text.contains("LIMIT") && !text.contains("WITH few");
    text == query::counts().sql || (tasks && text.contains("ORDER BY id"))
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
    for planner in [Planner::OfTheStore, Planner::Free] {
        for text in texts() {
            let plan = plan(&store.readers, planner, &text).await;
            if scans(&plan) && !(planner == Planner::Free && asks_for_most(&text)) {
                bad.push(format!("{planner:?}: {text}\n  {}", plan.join("\n  ")));
            }
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
            "Index Only Scan using tasks_by_state_and_repo",
        ),
        (
            query::tasks(&page_of(&[StateName::Queued], repo)),
            "Index Only Scan using tasks_by_state_and_repo",
        ),
        (
            query::tasks(&page_of(&[], repo)),
            "Index Only Scan using tasks_by_state_and_repo",
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
            log::behind(sample::task_id(1), LogCursor::default(), 10),
            "Index Scan using log_batches_by_end",
        ),
        (
            log::tail(sample::task_id(1), 10),
            "Index Scan Backward using log_batches_by_end",
        ),
        (
            query::old_logs(Timestamp::UNIX_EPOCH, 10),
            "Index Scan using runs_with_log_by_end",
        ),
        (
            query::counts(),
            "Index Only Scan using tasks_by_state_and_repo",
        ),
        (
            Query::new(claim::CLAIM, []),
            "Index Scan using outbox_pkey on outbox",
        ),
        // those that were found, and not all of them once more for each
        (Query::new(claim::CLAIM, []), "Index Cond: (id = ANY ("),
    ] {
        let plan = plan(&store.readers, Planner::OfTheStore, &query.sql).await;
        assert!(
            plan.iter().any(|line| line.contains(index)),
            "{index} is not in\n{}",
            plan.join("\n")
        );
    }
}
