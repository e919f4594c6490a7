//! What happened is exported and replayed: by the program, from outside.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    command_line::{optio, said},
    world::World,
};

/// What the demo decided when this was written down. If it would decide differently now, `optio replay` says in what.
/// Where that is meant: `optio demo --keep`, then `optio task export --all` over this file.
const DEMO: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/fixtures/demo-history.ndjson"
);

fn demo() -> Vec<Value> {
    let text = std::fs::read_to_string(DEMO).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Writes lines into a file and has it replayed; the file is gone afterwards.
async fn replayed(lines: &[String], more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.ndjson");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let arguments: Vec<&str> = ["replay", file]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    said(&arguments, &[]).await.replace(file, "[file]")
}

fn as_lines(history: &[Value]) -> Vec<String> {
    history.iter().map(Value::to_string).collect()
}

#[tokio::test]
async fn the_demo_is_decided_as_it_was_when_it_was_recorded() {
    assert_snapshot!(said(&["replay", DEMO], &[]).await, @r"
    42 decisions and 106 transitions replayed, 0 differ
    exit code 0
    ");
}

#[test]
fn the_demo_s_record_holds_every_policy_but_budgets_and_the_rules_of_the_feedback_loop() {
    let rules: BTreeSet<String> = demo()
        .iter()
        .flat_map(|line| line["decisions"].as_array().cloned().unwrap_or_default())
        .map(|decision| {
            format!(
                "{} {}",
                decision["kind"].as_str().unwrap(),
                decision["rule"].as_str().unwrap()
            )
        })
        .collect();
    assert_snapshot!(rules.into_iter().collect::<Vec<_>>().join("\n"), @r"
    after_failure give_up
    after_failure try_again
    dependencies ready
    dependencies waiting
    placement scale_up
    placement use
    pull_request changes_requested
    pull_request checks_failed
    pull_request conflict
    pull_request ready
    pull_request review_wanted
    ");
}

#[tokio::test]
async fn what_differs_is_listed_with_then_and_now_and_the_code_is_1() {
    let mut history = demo();
    let line = |history: &[Value], rule: &str| {
        let has = |line: &Value| line["decisions"][0]["rule"] == rule;
        history.iter().position(has).unwrap()
    };
    // recorded under another policy, it seems
    let red = line(&history, "checks_failed");
    history[red]["decisions"][0]["rule"] = json!("changes_requested");
    history[red]["decisions"][0]["action"]["do"]["next"]["kind"] = json!("resume-review");
    // changed by hand
    let ready = line(&history, "ready");
    history[ready]["decisions"][0]["snapshot"]["task"]["title"] = json!("Another title");
    // a transition that the states do not allow
    let created = history.len() - 1;
    history[created]["to"] = json!("running");
    assert_snapshot!(replayed(&as_lines(&history), &[]).await, @r"
    task_01m7ygtxnkfv3a3me19p0d2dxz 2026-11-21T07:41:22.21847Z pull_request
      the record was changed afterwards: its digest is 86ad1db0e3d08382 and should be 5595839be00e2877
    task_01m7ygtxnxeajrprjz3j1w35fw 2026-11-21T07:41:21.24412Z pull_request
      rule: changes_requested -> checks_failed
      action.do.next.kind: resume-review -> resume-ci
    task_01m7ygv8vtf898tpkgyzwp83gd 2026-11-21T07:41:32.040442Z transition
      to: running -> completed
    42 decisions and 106 transitions replayed, 3 differ
    exit code 1
    ");

    let told = replayed(&as_lines(&history), &["--json"]).await;
    let report: Value = serde_json::from_str(told.strip_suffix("exit code 1").unwrap()).unwrap();
    assert_eq!(report["differ"], 3);
    assert_eq!(report["news"][1]["line"], json!(red + 1));
    assert_eq!(
        report["news"][1]["subject"],
        json!({"decision": "pull_request"})
    );
}

#[tokio::test]
async fn a_file_that_is_no_history_is_refused_with_the_line() {
    let mut lines = as_lines(&demo());
    lines.truncate(2);
    lines.push(String::new());
    lines.push(r#"{"task": "task_01"}"#.to_owned());
    let mut rows = vec![replayed(&lines, &[]).await];
    lines[1].truncate(40);
    rows.push(replayed(&lines, &[]).await);
    rows.push(said(&["replay", "/nowhere/history.ndjson"], &[]).await);
    rows.push(replayed(&[], &[]).await);
    assert_snapshot!(rows.join("\n\n"), @r#"
    optio: line 4 of [file] is no line of `optio task export`: "task_01" is not a task id: expected task_ and 26 characters of 0-9 and a-z without i, l, o, u at line 1 column 19
    exit code 2

    optio: line 2 of [file] is no line of `optio task export`: EOF while parsing a string at line 1 column 40
    exit code 2

    optio: /nowhere/history.ndjson cannot be read: No such file or directory (os error 2)
    exit code 2

    0 decisions and 0 transitions replayed, 0 differ
    exit code 0
    "#);
}

#[tokio::test]
async fn what_a_server_decided_is_exported_and_replayed() {
    let world = World::with_shop().await;
    let server = world.listen().await;
    let env = [("OPTIO_SERVER", server.as_str())];
    world.work();
    let first = world.add(json!({"repo": "shop", "title": "One"})).await;
    let wish = json!({"repo": "shop", "title": "Two", "dependsOn": [first]});
    let second = world.add(wish).await;
    let waited = optio(&["task", "wait", &first, &second], &env).await;
    assert_eq!(waited.status.code(), Some(0), "{waited:?}");

    let all = optio(&["task", "export", "--all"], &env).await;
    assert_eq!(all.status.code(), Some(0), "{all:?}");
    let both = optio(&["task", "export", &first, &second], &env).await;
    assert_eq!(all.stdout, both.stdout, "oldest first");
    assert_snapshot!(through_stdin(&all.stdout).await, @r"
    6 decisions and 13 transitions replayed, 0 differ
    exit code 0
    ");

    // without being asked, a history tells no more than the digests
    let told = world.get(&format!("/api/tasks/{second}/history")).await;
    let lines = told.body["history"].as_array().unwrap();
    assert!(lines.iter().all(|line| line["decisions"].is_null()));
    assert!(
        lines
            .iter()
            .all(|line| line["digest"].as_str().unwrap().len() == 16)
    );
    let refused = said(&["task", "export"], &env).await;
    assert!(refused.ends_with("exit code 2"), "{refused}");
}

async fn through_stdin(history: &[u8]) -> String {
    let mut replay = tokio::process::Command::new(Path::new(env!("CARGO_BIN_EXE_optio")))
        .args(["replay", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = replay.stdin.take().unwrap();
    stdin.write_all(history).await.unwrap();
    drop(stdin);
    let output = replay.wait_with_output().await.unwrap();
    format!(
        "{}exit code {}",
        String::from_utf8(output.stdout).unwrap(),
        output.status.code().unwrap()
    )
}
