//! A replica that was frozen for longer than its lease, and goes on: what it held is somebody else's by now, and it can
//! write nothing of it any more, neither to the database nor to the forge.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use optio_core::task::StateName;
use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    git::Bare,
    room::{Room, until},
    server::Server,
    shared::Shared,
};

/// Longer than any test: it is thawed by hand.
const LONG: Duration = Duration::from_secs(600);

/// All that can be known of a task.
#[derive(Debug, PartialEq)]
struct Picture {
    task: Value,
    history: Value,
    runs: Value,
    log: Value,
    refs: String,
}

impl Picture {
    /// Of a task that is done, and whose worktree has gone as well.
    async fn of_done(server: &Server, bare: &Bare, task: &str) -> Self {
        server.until(task, StateName::Completed).await;
        until("its worktree to go", || async {
            let task = server.get(&["api", "tasks", task]).await;
            let state = task["worktree"]["state"].as_str().map(str::to_owned);
            (state.as_deref() == Some("removed"))
                .then_some(())
                .ok_or_else(|| format!("{state:?}"))
        })
        .await;
        Self::take(server, bare, task).await
    }

    async fn take(server: &Server, bare: &Bare, task: &str) -> Self {
        Self {
            task: server.get(&["api", "tasks", task]).await,
            history: server.get(&["api", "tasks", task, "history"]).await,
            runs: server.get(&["api", "tasks", task, "runs"]).await,
            log: server.get(&["api", "tasks", task, "logs"]).await,
            refs: bare.git(&["for-each-ref"]),
        }
    }
}

/// The replica that holds the only live run, once there is one in this phase.
async fn holder(fleet: &Fleet<'_>, shared: &Shared, phase: &str) -> usize {
    until(&format!("a run that is {phase}"), || async {
        let mut connection = shared.connect().await;
        let found: Option<String> = sqlx::query_scalar(
            "SELECT body::json->'lease'->>'holder' FROM runs WHERE live AND body::json->'phase'->>'phase' = $1",
        )
        .bind(phase)
        .fetch_optional(&mut connection)
        .await
        .unwrap();
        let worker = found.ok_or("none")?;
        // serve-PID-...
        let pid = worker.split('-').nth(1).and_then(|pid| pid.parse().ok());
        fleet.with_pid(pid.unwrap()).ok_or_else(|| worker.clone())
    })
    .await
}

async fn until_adopted(server: &Server, task: &str) {
    until("the other one to adopt the run", || async {
        let runs = server.runs(task).await;
        let epochs: Vec<u64> = runs.iter().map(|run| run.epoch).collect();
        (epochs == [2])
            .then_some(())
            .ok_or_else(|| format!("{epochs:?}"))
    })
    .await;
}

/// Waits until a line of the servers' logs says this.
async fn until_logged(room: &Room, words: &str) {
    until(words, || async {
        let log = fs::read_to_string(room.at("serve.log")).unwrap();
        log.contains(words).then_some(()).ok_or(String::new())
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_was_frozen_while_its_agent_worked_writes_nothing_when_it_is_thawed() {
    let (room, shared) = (Room::new(), Shared::start());
    let bare = Bare::new(&room, "shop");
    let mut fleet = Fleet::start(&room, &shared, 2, &[]).await;
    let repo = fleet.server(0).add_repo(&bare.path, json!({})).await;
    let gate = room.at("gate");
    let script = format!(
        "say before\nwait-file {}\nsay after\nedit notes <<END\nx\nEND\ncommit Write notes\ncost 0.01 10 10",
        gate.display()
    );
    let task = fleet.server(0).add_task(&repo, "notes", &script).await;
    // not while it starts its agent: others wait for whoever is about that
    until("the agent to work", || async {
        let state = fleet.server(0).task(&task).await.state;
        (state == StateName::Running)
            .then_some(())
            .ok_or_else(|| format!("{state}"))
    })
    .await;
    let frozen = holder(&fleet, &shared, "spawned").await;
    let other = 1 - frozen;
    fleet.freeze(frozen, LONG);
    until_adopted(fleet.server(other), &task).await;
    fs::write(&gate, "").unwrap();
    let server = fleet.server(other);
    let before = Picture::of_done(server, &bare, &task).await;
    fleet.thaw(frozen);
    until_logged(&room, "run lost to another worker").await;
    // it answers, so it is at work again
    let after = Picture::take(fleet.server(frozen), &bare, &task).await;
    assert_eq!(after, before);
    assert_eq!(bare.subjects().len(), 2, "{:?}", bare.subjects());
    fleet.stop().await;
    room.until_quiet().await;
}

#[tokio::test]
async fn a_replica_that_was_frozen_in_the_middle_of_a_push_pushes_opens_and_merges_nothing() {
    let (room, shared) = (Room::new(), Shared::start());
    let bare = Bare::new(&room, "shop");
    // the first push waits in the middle; others do not
    let (begun, gate) = (room.at("push-begun"), room.at("gate"));
    let hook = format!(
        "#!/bin/sh\nif mkdir '{}' 2>/dev/null; then while [ ! -e '{}' ]; do sleep 0.05; done; fi\n",
        begun.display(),
        gate.display()
    );
    let path = bare.path.join("hooks/pre-receive");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, hook).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut fleet = Fleet::start(&room, &shared, 2, &[]).await;
    let repo = fleet.server(0).add_repo(&bare.path, json!({})).await;
    let script = "edit notes <<END\nx\nEND\ncommit Write notes\ncost 0.01 10 10";
    let task = fleet.server(0).add_task(&repo, "notes", script).await;
    until("the push to begin", || async {
        begun.exists().then_some(()).ok_or(String::new())
    })
    .await;
    let frozen = holder(&fleet, &shared, "exited").await;
    let other = 1 - frozen;
    fleet.freeze(frozen, LONG);
    let server = fleet.server(other);
    let before = Picture::of_done(server, &bare, &task).await;
    assert_eq!(before.runs["runs"][0]["epoch"], 2, "{before:#?}");
    // its git goes on first, then it does
    fs::write(&gate, "").unwrap();
    fleet.thaw(frozen);
    until_logged(&room, "run lost to another worker").await;
    let after = Picture::take(fleet.server(frozen), &bare, &task).await;
    assert_eq!(after, before);
    assert_eq!(bare.subjects().len(), 2, "{:?}", bare.subjects());
    fleet.stop().await;
    room.until_quiet().await;
}

/// Stands in for git. The first look at branches, once there is `ROOM/armed`, waits for `ROOM/gate`; in `ROOM/begun` it
/// says whose it is.
const GIT: &str = r#"#!/bin/sh
case " $* " in *" for-each-ref "*)
    if [ -e ROOM/armed ] && mkdir ROOM/taken 2>/dev/null; then
        echo $PPID >ROOM/begun.new && mv ROOM/begun.new ROOM/begun
        while [ ! -e ROOM/gate ]; do sleep 0.05; done
    fi ;;
esac
exec REAL "$@"
"#;

fn with_git_that_waits(room: &mut Room) {
    let mut folders = room.path.split(':').map(|folder| format!("{folder}/git"));
    let real = folders.find(|git| fs::exists(git).unwrap()).unwrap();
    let folder = room.at("bin");
    fs::create_dir_all(&folder).unwrap();
    let script = GIT.replace("ROOM/", room.at("").to_str().unwrap());
    fs::write(folder.join("git"), script.replace("REAL", &real)).unwrap();
    fs::set_permissions(folder.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    room.path = format!("{}:{}", folder.display(), room.path);
}

/// Waits until the leases of all that a frozen replica looked after are held by others.
async fn until_others_have_its_shares(shared: &Shared, fleet: &Fleet<'_>, frozen: usize) {
    let frozen = format!("serve-{}-%", fleet.server(frozen).pid());
    until("the other one to have all pull requests", || async {
        let mut connection = shared.connect().await;
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM leases WHERE name LIKE 'pull requests %' AND holder LIKE $1",
        )
        .bind(&frozen)
        .fetch_one(&mut connection)
        .await
        .unwrap();
        (left == 0).then_some(()).ok_or(format!("{left} are left"))
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_was_frozen_in_the_middle_of_a_look_merges_nothing_by_it() {
    let (mut room, shared) = (Room::new(), Shared::start());
    let bare = Bare::new(&room, "shop");
    with_git_that_waits(&mut room);
    let mut fleet = Fleet::start(&room, &shared, 2, &[]).await;
    let by_hand = json!({"autoMerge": false});
    let by_itself = json!({"autoMerge": true});
    let repo = fleet.server(0).add_repo(&bare.path, by_hand.clone()).await;
    let script = "edit notes <<END\nx\nEND\ncommit Write notes\ncost 0.01 10 10";
    let task = fleet.server(0).add_task(&repo, "notes", script).await;
    until("the pull request to be green", || async {
        let mut connection = shared.connect().await;
        let green: Option<String> =
            sqlx::query_scalar("SELECT body::json->>'lastGreen' FROM tasks")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        green.map(drop).ok_or(String::new())
    })
    .await;
    fleet.server(0).set_repo(&repo, by_itself.clone()).await;
    fs::write(room.at("armed"), "").unwrap();
    let look = async |server: &Server| {
        let path = ["api", "tasks", &task, "priority"];
        server.post(&path, &json!({"priority": 7})).await.unwrap();
    };
    look(fleet.server(0)).await;
    let frozen = until("the look to begin", || async {
        let pid = fs::read_to_string(room.at("begun")).unwrap_or_default();
        let pid = pid.trim().parse().map_err(|_| pid)?;
        fleet.with_pid(pid).ok_or(format!("of {pid}"))
    })
    .await;
    fleet.freeze(frozen, LONG);
    // a person thinks better of it, and the other one looks and leaves it
    let server = fleet.server(1 - frozen);
    server.set_repo(&repo, by_hand).await;
    until_others_have_its_shares(&shared, &fleet, frozen).await;
    fs::write(room.at("gate"), "").unwrap();
    fleet.thaw(frozen);
    until_logged(&room, "what the forge said is too old to merge by").await;
    let server = fleet.server(frozen);
    let seen = server.task(&task).await;
    assert_eq!(seen.state, StateName::PrOpened, "{seen:#?}");
    assert_eq!(bare.subjects().len(), 1, "{:?}", bare.subjects());

    server.set_repo(&repo, by_itself).await;
    look(server).await;
    server.until(&task, StateName::Completed).await;
    assert_eq!(bare.subjects().len(), 2, "{:?}", bare.subjects());
    fleet.stop().await;
    room.until_quiet().await;
}
