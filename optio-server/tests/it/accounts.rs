//! A paused account is seen wherever people look, and goes on when somebody says so.

use axum::http::StatusCode;
use optio_core::{
    account::{Pause, PauseEnd},
    conformance::sample::run_id,
    failure::{Failure, FailureClass},
    store::{Commit, Write},
};
use serde_json::{Value, json};

use crate::world::{World, account};

async fn paused(until: PauseEnd) -> World {
    let world = World::with_shop().await;
    let clock = &world.app.optio.ports().clock;
    let pause = Pause {
        account: account(),
        until,
        since: clock.now(),
        reason: Failure::new(FailureClass::AuthExpired).with_detail("401 revoked"),
        run: run_id(1),
    };
    let commit = Commit::new().with(Write::Pause(pause));
    world.app.optio.store().commit(commit).await.unwrap();
    world
}

async fn ask(world: &World, path: &str) -> Value {
    let answer = world.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_pause_is_told_with_what_to_do() {
    let world = paused(PauseEnd::Resumed).await;
    let wish = json!({"repo": "shop", "title": "Add a cart"});
    let task = world.post("/api/tasks", wish).await.body;
    world.app.optio.tick_relay().await.unwrap();
    let accounts = ask(&world, "/api/accounts").await;
    let account = &accounts["accounts"][0];
    assert_eq!(account["name"], "memory:key");
    assert_eq!(account["agents"], json!(["memory"]));
    assert_eq!(account["pause"]["until"], Value::Null);
    assert_eq!(account["pause"]["reason"]["class"], "auth_expired");

    let doctor = ask(&world, "/api/doctor").await;
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks
        .iter()
        .find(|check| check["name"] == "account memory:key")
        .unwrap();
    insta::assert_snapshot!(
        format!("{}: {}; {}", check["status"], check["message"], check["remedy"]),
        @r#""warn": "paused until it is resumed: Agent's credentials were refused: 401 revoked"; "give the server other credentials and start it again, or mend them and run `optio account resume memory:key`""#
    );

    let id = task["id"].as_str().unwrap();
    let why = ask(&world, &format!("/api/tasks/{id}/why")).await;
    insta::assert_snapshot!(why["explanation"].as_str().unwrap(), @"the account memory:key is paused until it gets other credentials or `optio account resume memory:key`: Agent's credentials were refused: 401 revoked");
    let queue = ask(&world, "/api/queue").await;
    let wait = json!({"reason": "account_paused", "account": "memory:key", "until": null});
    assert_eq!(queue["waiting"][0]["wait"], wait);

    let unknown = world
        .post("/api/accounts/memory:nobody/resume", json!({}))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let resumed = world
        .post("/api/accounts/memory:key/resume", json!({}))
        .await;
    assert_eq!(resumed.status, StatusCode::OK, "{}", resumed.body);
    assert_eq!(resumed.body["pause"], Value::Null);
    let accounts = ask(&world, "/api/accounts").await;
    assert_eq!(accounts["accounts"][0]["pause"], Value::Null);
    let queue = ask(&world, "/api/queue").await;
    assert_eq!(queue["waiting"][0]["wait"]["reason"], "ready");
}

#[tokio::test]
async fn a_pause_that_time_ends_says_when() {
    let until = "2100-01-01T00:00:00Z";
    let world = paused(PauseEnd::At(until.parse().unwrap())).await;
    let accounts = ask(&world, "/api/accounts").await;
    assert_eq!(accounts["accounts"][0]["pause"]["until"], until);
}
