//! Redis stays away for longer than a lease: nothing new is started, nothing fails, and what is at work goes on.

use std::fs;

use optio_core::task::StateName;
use serde_json::json;

use crate::{
    fleet::{Fleet, LEASE},
    git::Bare,
    room::{Room, until},
    shared::Shared,
};

/// When the lease of the only live run ends, in microseconds.
async fn lease_end(shared: &Shared) -> i64 {
    let mut connection = shared.connect().await;
    let ends = sqlx::query_scalar(
        "SELECT (extract(epoch FROM (body::json->'lease'->>'until')::timestamptz) * 1e6)::bigint FROM runs WHERE live",
    );
    ends.fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn redis_may_stay_away_for_longer_than_a_lease() {
    let (room, mut shared) = (Room::new(), Shared::start());
    let bare = Bare::new(&room, "shop");
    let fleet = Fleet::start(&room, &shared, 2, &[]).await;
    let server = fleet.server(0);
    let by_hand = json!({"autoMerge": false});
    let repo = server.add_repo(&bare.path, by_hand).await;
    let (begun, gate) = (room.at("begun"), room.at("gate"));
    let script = format!(
        "run touch {}\nwait-file {}\nedit notes <<END\nx\nEND\ncommit Write notes\ncost 0.01 10 10",
        begun.display(),
        gate.display()
    );
    let at_work = server.add_task(&repo, "notes", &script).await;
    until("the agent to be at work", || async {
        begun.exists().then_some(()).ok_or(String::new())
    })
    .await;
    let held_until = lease_end(&shared).await;
    let lease = i64::try_from(LEASE.as_micros()).unwrap();
    shared.stop_redis();
    let script = "edit more <<END\ny\nEND\ncommit Write more\ncost 0.01 10 10";
    let waiting = fleet.server(1).add_task(&repo, "more", script).await;
    let path = ["api", "tasks", &waiting, "priority"];
    server.post(&path, &json!({"priority": 7})).await.unwrap();
    until("a whole lease to pass", || async {
        let now = lease_end(&shared).await;
        (now > held_until + lease)
            .then_some(())
            .ok_or_else(|| format!("{now}"))
    })
    .await;
    // it comes to the end of its work as well
    fs::write(&gate, "").unwrap();
    server.until(&at_work, StateName::PrOpened).await;
    let seen = server.task(&waiting).await;
    assert_eq!(seen.state, StateName::Queued, "{seen:#?}");
    assert_eq!(server.runs(&waiting).await.len(), 0);

    let by_itself = json!({"autoMerge": true});
    server.set_repo(&repo, by_itself).await;
    shared.restart_redis();
    for task in [&at_work, &waiting] {
        server.until(task, StateName::Completed).await;
        let runs = server.runs(task).await;
        let epochs: Vec<u64> = runs.iter().map(|run| run.epoch).collect();
        assert_eq!(epochs, [1], "one run, by one replica: {runs:#?}");
    }
    assert_eq!(bare.subjects().len(), 3, "{:?}", bare.subjects());
    fleet.stop().await;
    room.until_quiet().await;
}
