//! Opening: one process per folder, and a sentence with the way out for everything that can be wrong.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use optio_core::{
    ErrorKind,
    conformance::sample,
    run::{RunOutcome, RunPhase, WorkerId},
    store::{Commit, RunQuery, Sharing, Store, Write},
    workspace::WorkspaceState,
};
use optio_local::SqliteStore;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::fixtures::{Ticking, at, outbox, task};

/// The error of opening `path`, without this machine's folder and process in it.
async fn refusal(path: &Path, folder: &Path) -> String {
    let error = SqliteStore::open(path).await.unwrap_err();
    format!("{:?}: {}", error.kind(), error.message())
        .replace(&folder.display().to_string(), "DATA")
        .replace(&std::process::id().to_string(), "PID")
}

pub(super) async fn edit(path: &Path, sql: &str) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_second_optio_is_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/in/optio.db");
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.sharing(), Sharing::Exclusive);
    insta::assert_snapshot!(refusal(&path, folder.path()).await, @r"
    Unavailable: another optio (process PID) is using the data folder DATA/deep/in: stop it first, or use another data folder
    ");
    store.close().await;
    let again = SqliteStore::open(&path).await.unwrap();
    let closed = store.repos().await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Unavailable);
    let closed = store
        .commit(Commit::new().with(Write::Task(task(&Ticking::default()))))
        .await
        .unwrap_err();
    assert_eq!(
        (closed.kind(), closed.message()),
        (ErrorKind::Unavailable, "the store is closed")
    );
    again.close().await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "only the owner may read it");
    assert!(
        !path.with_extension("db-wal").exists(),
        "closing leaves one file"
    );
}

/// What schemas 1 and 2 have written: two workspaces in one place, and a run that has ended.
#[tokio::test]
async fn what_an_older_schema_holds_is_there_in_the_present_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut ended = sample::run(2, 1);
    ended.phase = RunPhase::Ended {
        outcome: RunOutcome::Cancelled { rescue: None },
        at: sample::at(90),
    };
    let mut lost = sample::workspace(3);
    lost.state = WorkspaceState::Lost {
        failure: sample::failure(),
    };
    let mut commit = Commit::new()
        .with(Write::NewRun(sample::run(1, 1)))
        .with(Write::NewRun(ended));
    for workspace in [sample::workspace(1), sample::workspace(2), lost] {
        commit = commit.with(Write::Workspace(workspace));
    }
    store.commit(commit).await.unwrap();
    store.close().await;
    // back to what it was before the third
    for undo in [
        "DROP INDEX workspaces_by_place",
        "DROP INDEX runs_with_log_by_end",
        "ALTER TABLE workspaces DROP COLUMN takes_runs",
        "ALTER TABLE runs DROP COLUMN ended_at",
        "ALTER TABLE runs DROP COLUMN log_removed",
        "DELETE FROM _sqlx_migrations WHERE version = 3",
        "UPDATE workspaces SET ordinal = 0, body = json_set(body, '$.ordinal', 0)",
    ] {
        edit(&path, undo).await;
    }
    let store = SqliteStore::open(&path).await.unwrap();
    let places: Vec<_> = (store.workspaces().await.unwrap().into_iter())
        .map(|workspace| (workspace.id, workspace.ordinal))
        .collect();
    let place = |n, ordinal| (sample::workspace_id(n), ordinal);
    assert_eq!(places, [place(1, 0), place(3, 0), place(2, 1)]);
    assert_eq!(store.runs(&RunQuery::default()).await.unwrap().len(), 2);
    let old = store.old_logs(sample::at(91), 9).await.unwrap();
    assert_eq!(old[0].id, sample::run_id(2));
    store.close().await;
}

#[tokio::test]
async fn what_will_not_do_is_refused_with_the_way_out_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text.db"), "not a database at all, ".repeat(100)).unwrap();
    std::fs::write(path("file"), "").unwrap();
    std::fs::create_dir(path("folder.db")).unwrap();
    edit(&path("other.db"), "CREATE TABLE recipes (name TEXT)").await;
    for name in ["newer.db", "altered.db", "cut.db"] {
        SqliteStore::open(path(name)).await.unwrap().close().await;
    }
    let row =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
               VALUES (7, 'from the future', true, x'00', 0)";
    edit(&path("newer.db"), row).await;
    edit(
        &path("altered.db"),
        "UPDATE _sqlx_migrations SET checksum = x'00'",
    )
    .await;
    let whole = std::fs::read(path("cut.db")).unwrap();
    std::fs::write(path("cut.db"), &whole[..whole.len() / 2]).unwrap();
    let names = [
        "text.db",
        "file/optio.db",
        "folder.db",
        "other.db",
        "newer.db",
        "altered.db",
        "cut.db",
    ];
    let mut shown = Vec::new();
    for name in names {
        let before = std::fs::read(path(name)).ok();
        shown.push(refusal(&path(name), folder.path()).await);
        assert_eq!(std::fs::read(path(name)).ok(), before, "{name} was changed");
    }
    insta::assert_snapshot!(shown.join("\n"), @r"
    Corrupt: the database DATA/text.db cannot be used, it is damaged or no database (file is not a database, code 26): restore it from a backup, or move it away to start afresh
    Invalid: the data folder DATA/file cannot be made or written (File exists (os error 17)): give this user the right to, or choose another folder
    Invalid: DATA/folder.db is a folder: expected the path of a database file, such as DATA/folder.db/optio.db
    Invalid: the database DATA/other.db belongs to another program: choose another file
    Unsupported: the database DATA/newer.db was written by a newer optio (schema 7, this one knows 3): use that version, or another data folder
    Corrupt: the database DATA/altered.db has another schema 1 than was released: restore it from a backup, or move it away to start afresh
    Corrupt: the database DATA/cut.db cannot be used, it is damaged or no database (database disk image is malformed, code 11): restore it from a backup, or move it away to start afresh
    ");
}

#[tokio::test]
async fn what_an_earlier_process_held_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.db");
    let clock = Ticking::default();
    let (late, entry) = (at(1_000_000), outbox(&clock, &task(&clock)));
    let worker = |name: &str| WorkerId(name.into());
    let store = SqliteStore::open(&path).await.unwrap();
    store
        .commit(Commit::new().with(Write::Outbox(entry)))
        .await
        .unwrap();
    assert!(
        store
            .lease("sweep", &worker("a"), at(8), late)
            .await
            .unwrap()
    );
    assert!(
        !store
            .lease("sweep", &worker("b"), at(9), late)
            .await
            .unwrap()
    );
    assert_eq!(store.claim_outbox(at(8), late, 9).await.unwrap().len(), 1);
    assert_eq!(store.claim_outbox(at(9), late, 9).await.unwrap().len(), 0);
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(
        store
            .lease("sweep", &worker("b"), at(10), late)
            .await
            .unwrap()
    );
    let claimed = store.claim_outbox(at(10), late, 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].attempts, 2, "each claim counts");
}

#[tokio::test]
async fn a_released_schema_never_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path))
            .await
            .unwrap();
    let applied: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT version, description, lower(hex(substr(checksum, 1, 8))) FROM _sqlx_migrations",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    // a changed line here is a database that existing users cannot open: add a migration instead
    insta::assert_debug_snapshot!(applied, @r#"
    [
        (
            1,
            "first",
            "5b6c6e1f7503d43e",
        ),
        (
            2,
            "pauses",
            "d42f6c0d7f5fdadf",
        ),
        (
            3,
            "retention",
            "006bca19f9b3e1a5",
        ),
    ]
    "#);
}
