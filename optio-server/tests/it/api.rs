//! REST: what each route gives, and how it refuses.

use axum::http::StatusCode;
use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::{Value, json};

use crate::world::{SHOP, World, request};

#[tokio::test(start_paused = true)]
async fn a_task_is_taken_in_and_shown() {
    let world = World::with_shop().await;
    let id = world.add(json!({"repo": "shop", "title": "Fix  the login", "body": "It **fails**.", "priority": 5})).await;
    assert_json_snapshot!(world.get(&format!("/api/tasks/{id}")).await.body);
    let why = world.get(&format!("/api/tasks/{id}/why")).await.body;
    assert_snapshot!(why["state"].as_str().unwrap(), @"queued");
}

#[tokio::test(start_paused = true)]
async fn the_whole_way_to_the_merge_can_be_read() {
    let world = World::with_shop().await;
    let id = world
        .add(json!({"repo": SHOP, "title": "Fix the login"}))
        .await;
    world.work();
    let task = world
        .get(&format!("/api/tasks/{id}/wait?seconds=60"))
        .await
        .body;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["completion"]["how"], "merged");
    let history = world.get(&format!("/api/tasks/{id}/history")).await.body;
    let line = |line: &Value| {
        format!(
            "{} by {}",
            line["to"].as_str().unwrap(),
            line["rule"].as_str().unwrap()
        )
    };
    assert_snapshot!(
        history["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    );
    let runs = world.get(&format!("/api/tasks/{id}/runs")).await.body;
    assert_eq!(runs["runs"][0]["outcome"], "pushed", "{runs}");
    // pages by cursor are the whole log, each entry once
    let whole = world
        .get(&format!("/api/tasks/{id}/logs?limit=1000"))
        .await
        .body;
    let mut paged = Vec::new();
    let mut after = "0.0".to_owned();
    loop {
        let page = world
            .get(&format!("/api/tasks/{id}/logs?after={after}&limit=2"))
            .await
            .body;
        if page["entries"].as_array().unwrap().is_empty() {
            break;
        }
        paged.extend(page["entries"].as_array().unwrap().clone());
        after = page["next"].as_str().unwrap().to_owned();
    }
    assert_eq!(whole["entries"], Value::Array(paged.clone()));
    let tail = world
        .get(&format!("/api/tasks/{id}/logs?tail=1"))
        .await
        .body;
    assert_eq!(tail["entries"][0], paged[paged.len() - 1]);
}

#[tokio::test(start_paused = true)]
async fn lists_come_newest_first_in_pages() {
    let world = World::with_shop().await;
    for n in 1..=5 {
        world
            .add(json!({"repo": "shop", "title": format!("Task {n}")}))
            .await;
        tokio::time::advance(std::time::Duration::from_millis(2)).await;
    }
    let titles = |page: &Value| {
        page["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let first = world.get("/api/tasks?limit=2").await.body;
    assert_snapshot!(titles(&first), @"Task 5, Task 4");
    let next = first["next"].as_str().unwrap();
    let second = world
        .get(&format!("/api/tasks?limit=3&after={next}"))
        .await
        .body;
    assert_snapshot!(titles(&second), @"Task 3, Task 2, Task 1");
    assert_eq!(second["next"], Value::Null);
    let cancelled = second["tasks"][0]["id"].as_str().unwrap();
    world
        .post(&format!("/api/tasks/{cancelled}/cancel"), json!(null))
        .await;
    assert_snapshot!(titles(&world.get("/api/tasks?state=cancelled,failed").await.body), @"Task 3");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_id_is_enough() {
    let world = World::with_shop().await;
    let id = world.add(json!({"repo": "shop", "title": "One"})).await;
    let short = &id[id.len() - 8..];
    assert_eq!(world.get(&format!("/api/tasks/{short}")).await.id(), id);
    assert_snapshot!(world.get("/api/tasks/zzzz").await.refusal(), @"404 not_found: no task's id ends with zzzz: `optio task list` shows all");
    assert_snapshot!(world.get("/api/tasks/abc").await.refusal());
}

#[tokio::test(start_paused = true)]
async fn tasks_are_cancelled_retried_and_put_in_order() {
    let world = World::with_shop().await;
    let one = world.add(json!({"repo": "shop", "title": "One"})).await;
    let two = world.add(json!({"repo": "shop", "title": "Two"})).await;
    let moved = world
        .post(
            "/api/tasks/reorder",
            json!({"tasks": [{"id": one, "priority": 9}, {"id": two, "priority": 1}]}),
        )
        .await;
    assert_eq!(moved.status, StatusCode::OK);
    assert_eq!(
        world.get(&format!("/api/tasks/{two}")).await.body["priority"],
        1
    );
    let all = world
        .post("/api/tasks/bulk/cancel-active?repo=shop", json!(null))
        .await
        .body;
    assert_eq!(all["tasks"].as_array().unwrap().len(), 2);
    let again = world
        .post(&format!("/api/tasks/{one}/retry"), json!(null))
        .await
        .body;
    assert_eq!(again["state"], "queued");
    assert_snapshot!(world.post(&format!("/api/tasks/{one}/retry"), json!(null)).await.refusal().replace(&one, "[task]"),
        @"422 invalid: [task] is queued: only a failed, cancelled or needs_attention task can be retried");
    assert_eq!(
        world
            .post("/api/tasks/bulk/retry-failed", json!(null))
            .await
            .body["tasks"],
        json!([])
    );
}

#[tokio::test(start_paused = true)]
async fn a_cycle_is_refused_and_changes_nothing() {
    let world = World::with_shop().await;
    let one = world.add(json!({"repo": "shop", "title": "One"})).await;
    let two = world
        .add(json!({"repo": "shop", "title": "Two", "dependsOn": [one]}))
        .await;
    assert_eq!(
        world.get(&format!("/api/tasks/{two}")).await.body["state"],
        "waiting_on_deps"
    );
    let refused = world
        .post(
            &format!("/api/tasks/{one}/dependencies"),
            json!({"dependsOn": [two]}),
        )
        .await
        .refusal();
    assert_snapshot!(refused.replace(&one, "[one]").replace(&two, "[two]"));
    assert_eq!(
        world.get(&format!("/api/tasks/{one}")).await.body["dependsOn"],
        json!([])
    );
}

#[tokio::test(start_paused = true)]
async fn settings_of_a_repository_are_merged() {
    let world = World::with_shop().await;
    let changed = world
        .patch(
            "/api/repos/shop",
            json!({"settings": {"maxPodInstances": 3, "attempts": {"ci": 9}}}),
        )
        .await
        .body;
    let settings = &changed["settings"];
    assert_eq!(
        (
            &settings["maxPodInstances"],
            &settings["attempts"]["ci"],
            &settings["autoMerge"]
        ),
        (&json!(3), &json!(9), &json!(true))
    );
    // one that rows do not have while it is not set comes and goes like the others
    for effort in [json!("high"), json!(null)] {
        let change = json!({"settings": {"effort": effort}});
        let changed = world.patch("/api/repos/shop", change).await.body;
        assert_eq!(changed["settings"]["effort"], effort);
    }
    let rows = [
        json!({"settings": {"maxPodInstance": 3}}),
        json!({"settings": {"maxPodInstances": 21}}),
        json!({"settings": {"autoMerge": "yes"}}),
        json!({"settings": {"agent": "nobody"}}),
        json!({"settings": {"prompts": {"coding": "{{NONSENSE}}"}}}),
        json!({"branch": "main"}),
        json!({"defaultBranch": " "}),
    ];
    let mut table = Vec::new();
    for row in rows {
        table.push(format!(
            "{row}\n  {}",
            world.patch("/api/repos/shop", row.clone()).await.refusal()
        ));
    }
    assert_snapshot!(table.join("\n"));
    assert_eq!(
        world.get("/api/repos/shop").await.body["settings"],
        *settings
    );
}

#[tokio::test(start_paused = true)]
async fn bad_requests_get_one_sentence_and_change_nothing() {
    let world = World::with_shop().await;
    let rows = [
        ("POST", "/api/tasks", json!({"repo": "shopp", "title": "x"})),
        ("POST", "/api/tasks", json!({"repo": "shop", "title": " "})),
        (
            "POST",
            "/api/tasks",
            json!({"repo": "shop", "title": "x", "agent": "nobody"}),
        ),
        (
            "POST",
            "/api/tasks",
            json!({"repo": "shop", "title": "x", "dependsOn": ["task_01j1d3pz2dfsfrmtwwfpq8zc4h"]}),
        ),
        (
            "POST",
            "/api/tasks",
            json!({"repo": "shop", "title": "x", "prio": 1}),
        ),
        ("POST", "/api/tasks", json!({"title": "x"})),
        ("POST", "/api/repos", json!({"url": "shop"})),
        ("POST", "/api/repos", json!({"url": SHOP})),
        (
            "POST",
            "/api/schedules",
            json!({"repo": "shop", "title": "x", "cron": "* * * * *", "timeZone": "Mars"}),
        ),
        (
            "POST",
            "/api/schedules",
            json!({"repo": "nowhere", "title": "x", "cron": "* * * * *"}),
        ),
        (
            "POST",
            "/api/webhooks",
            json!({"url": "ftp://x", "secret": "0123456789abcdef"}),
        ),
        (
            "POST",
            "/api/webhooks",
            json!({"url": "https://x.test/", "secret": "short"}),
        ),
        ("GET", "/api/tasks?state=done", json!(null)),
        ("GET", "/api/tasks?limit=0", json!(null)),
        ("GET", "/api/tasks?colour=red", json!(null)),
        (
            "GET",
            "/api/tasks/task_01j1d3pz2dfsfrmtwwfpq8zc4h",
            json!(null),
        ),
        (
            "GET",
            "/api/tasks/task_01j1d3pz2dfsfrmtwwfpq8zc4h/logs",
            json!(null),
        ),
        ("GET", "/api/nothing", json!(null)),
        ("DELETE", "/api/tasks", json!(null)),
        (
            "DELETE",
            "/api/webhooks/hook_01j1d3pz2dfsfrmtwwfpq8zc4h",
            json!(null),
        ),
    ];
    let mut table = Vec::new();
    for (method, path, body) in rows {
        let answer = world.send(request(method, path, &body)).await;
        assert!(answer.status.is_client_error(), "{method} {path} {body}");
        table.push(format!("{method} {path} {body}\n  {}", answer.refusal()));
    }
    assert_snapshot!(table.join("\n"));
    assert_eq!(world.get("/api/tasks").await.body["tasks"], json!([]));
    assert_eq!(
        world.get("/api/repos").await.body["repos"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_too_long_or_no_json_are_refused() {
    let world = World::with_shop().await;
    let long = world
        .post(
            "/api/tasks",
            json!({"repo": "shop", "title": "x", "body": "x".repeat(3 << 20)}),
        )
        .await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    let bare = axum::http::Request::post("/api/tasks")
        .body(axum::body::Body::from("{}"))
        .unwrap();
    assert_snapshot!(world.send(bare).await.refusal());
}

#[tokio::test(start_paused = true)]
async fn schedules_and_webhooks_come_and_go_and_no_secret_is_told() {
    let world = World::with_shop().await;
    let schedule = world
        .post(
            "/api/schedules",
            json!({"repo": "shop", "title": "Tidy up", "cron": "30 4 * * 1-5"}),
        )
        .await;
    assert_eq!(schedule.status, StatusCode::CREATED, "{}", schedule.body);
    assert_eq!(schedule.body["timeZone"], "UTC");
    let hook = world.post("/api/webhooks", json!({"url": "https://x.test/hook", "secret": "0123456789abcdef", "states": ["completed"]})).await;
    assert_eq!(hook.status, StatusCode::CREATED, "{}", hook.body);
    let listed = world.get("/api/webhooks").await.body;
    assert!(!format!("{}{listed}", hook.body).contains("0123456789abcdef"));
    assert_eq!(listed["webhooks"][0]["states"], json!(["completed"]));
    for path in [
        format!("/api/schedules/{}", schedule.id()),
        format!("/api/webhooks/{}", hook.id()),
    ] {
        assert_eq!(world.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(world.delete(&path).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_tells_why_each_task_waits() {
    let world = World::with_shop().await;
    let id = world.add(json!({"repo": "shop", "title": "One"})).await;
    world.work();
    let task = world.get(&format!("/api/tasks/{id}/wait")).await.body;
    assert_eq!(task["state"], "completed", "{task}");
    let queue = world.get("/api/queue").await.body;
    assert_eq!(queue["waiting"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_time_is_up_or_the_server_stops() {
    let world = World::with_shop().await;
    let id = world.add(json!({"repo": "shop", "title": "One"})).await;
    let path = format!("/api/tasks/{id}/wait?seconds=20");
    assert_eq!(world.get(&path).await.body["state"], "queued");
    let stopping = world.app.stopping.clone();
    let (answer, ()) = tokio::join!(world.get(&path), async { stopping.cancel() });
    assert_eq!(answer.body["state"], "queued");
    assert_eq!(
        world.get("/readyz").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(world.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_task_is_told_something() {
    let world = World::with_shop().await;
    let wish = json!({"repo": "shop", "title": "Add a cart"});
    let task = world.post("/api/tasks", wish).await.body;
    let path = format!("/api/tasks/{}/message", task["id"].as_str().unwrap());
    let told = world.post(&path, json!({"text": "use tabs"})).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    let message = &told.body["messages"][0];
    assert_eq!(message["number"], 1);
    assert_eq!(message["text"], "use tabs");
    let refused = world.post(&path, json!({"text": "  "})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    world.work();
    let id = task["id"].as_str().unwrap();
    let ended = world.get(&format!("/api/tasks/{id}/wait?seconds=30")).await;
    assert_eq!(ended.body["messages"], json!([]), "a run has heard it");
    let log = world.get(&format!("/api/tasks/{id}/logs")).await.body;
    let entries = log["entries"].as_array().unwrap();
    let heard = entries
        .iter()
        .find(|entry| entry["event"]["type"] == "message");
    assert_eq!(heard.unwrap()["event"]["text"], "use tabs");
}
