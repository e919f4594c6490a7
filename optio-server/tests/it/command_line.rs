//! The program `optio`: its help, its refusals, and its commands against a server in this process.

use std::{path::PathBuf, process::Output, time::Duration};

use insta::assert_snapshot;
use optio_core::memory::{Behaviour, Step, diligent};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Runs the program with nothing in its environment but these variables.
pub(crate) async fn optio(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_optio"));
    command
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(std::process::Stdio::null());
    command.output().await.unwrap()
}

/// What it says, and its exit code.
pub(crate) async fn said(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = optio(arguments, variables).await;
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    format!(
        "{stdout}{stderr}exit code {}",
        output.status.code().unwrap()
    )
}

#[tokio::test]
async fn help_tells_all() {
    let mut pages = Vec::new();
    for command in [
        "",
        "serve",
        "task",
        "task add",
        "task list",
        "task logs",
        "task wait",
        "repo",
        "repo add",
        "repo set",
        "account",
        "doctor",
    ] {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        pages.push(format!(
            "$ optio {}\n{}",
            arguments.join(" "),
            said(&arguments, &[]).await
        ));
    }
    assert_snapshot!(pages.join("\n\n"));
}

#[tokio::test]
async fn what_cannot_be_done_is_one_sentence_and_code_2() {
    let (_reserved, port) = nobody_listens();
    let nobody = format!("http://127.0.0.1:{port}");
    let rows: &[&[&str]] = &[
        &["task", "list", "--server", &nobody],
        &["task", "list", "--server", "nonsense"],
        &["task", "logs", "abcd", "--tail", "5", "--follow"],
        &["task", "add", "shop", "x", "--timeout", "5"],
        &["repo", "set", "shop", "autoMerge", "--server", &nobody],
        &["serve", "--max-concurrent", "0"],
        &["srve"],
    ];
    let mut table = Vec::new();
    for row in rows {
        let said = said(row, &[]).await;
        table.push(format!("$ optio {}\n{said}", row.join(" ")).replace(&nobody, "[server]"));
    }
    assert_snapshot!(table.join("\n\n"));
}

/// A port on which nobody listens, and nobody will as long as it is held.
pub(crate) fn nobody_listens() -> (tokio::net::TcpSocket, u16) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// A folder that is gone at the end, and a PATH with git on it.
fn room() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::vars_os()
        .find(|(name, _)| name == "PATH")
        .map(|(_, path)| path.into_string().unwrap())
        .unwrap();
    (folder, path)
}

#[tokio::test]
async fn serve_refuses_in_one_sentence_and_changes_nothing() {
    let (folder, path) = room();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let rows = [
        said(
            &["serve", "--data", data, "--listen", &taken],
            &[("PATH", &path)],
        )
        .await,
        said(
            &["serve", "--data", data, "--listen", "127.0.0.1:0"],
            &[("PATH", "/nowhere")],
        )
        .await,
        said(
            &[
                "serve",
                "--data",
                &format!("{}/data", file.display()),
                "--listen",
                "127.0.0.1:0",
            ],
            &[("PATH", &path)],
        )
        .await,
    ];
    assert_snapshot!(
        rows.join("\n")
            .replace(&taken, "[taken]")
            .replace(folder.path().to_str().unwrap(), "[folder]")
    );
    assert!(!PathBuf::from(data).exists());
}

#[tokio::test]
async fn a_task_is_added_waited_for_and_shown() {
    let world = World::with_shop().await;
    let server = world.listen().await;
    let env = [("OPTIO_SERVER", server.as_str())];
    world.work();
    let added = optio(
        &["task", "add", "shop", "Fix the login", "--wait", "--json"],
        &env,
    )
    .await;
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let tasks: Value = serde_json::from_slice(&added.stdout).unwrap();
    let id = tasks[0]["id"].as_str().unwrap();
    // as JSON, everything has the shape of the REST interface
    let shown = optio(&["task", "show", id, "--json"], &env).await;
    assert_eq!(
        serde_json::from_slice::<Value>(&shown.stdout).unwrap(),
        world.get(&format!("/api/tasks/{id}")).await.body
    );
    let followed = optio(&["task", "logs", "-f", &id[id.len() - 8..], "--json"], &env).await;
    let paged = optio(&["task", "logs", id, "--json"], &env).await;
    assert_eq!(
        String::from_utf8(followed.stdout).unwrap(),
        String::from_utf8(paged.stdout).unwrap()
    );
    let list = said(&["task", "list"], &env).await;
    let mut row: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    // the server's clock is not that of this machine: the age is whatever it is
    row.remove(7);
    assert_snapshot!(row.join(" ").replace(&id[id.len() - 8..], "[short]"), @"[short] completed 100 shop #1 1 $0.01 Fix the login");
}

#[tokio::test]
async fn exit_codes_tell_how_tasks_ended() {
    let world = World::with_shop().await;
    let server = world.listen().await;
    let env = [("OPTIO_SERVER", server.as_str())];
    let id = world.add(json!({"repo": "shop", "title": "One"})).await;
    let waited = said(&["task", "wait", &id, "--timeout", "0"], &env).await;
    assert_snapshot!(waited.replace(&id, "[task]"));
    let cancelled = said(&["task", "cancel", &id], &env).await;
    assert_snapshot!(cancelled.replace(&id, "[task]"));
    let waited = said(&["task", "wait", &id], &env).await;
    assert_snapshot!(waited.replace(&id, "[task]"));
    assert_snapshot!(said(&["task", "wait", "zzzz"], &env).await, @"
    optio: no task's id ends with zzzz: `optio task list` shows all
    exit code 2
    ");
}

#[tokio::test]
async fn settings_of_repositories_are_set_and_shown() {
    let world = World::with_shop().await;
    let server = world.listen().await;
    let env = [("OPTIO_SERVER", server.as_str())];
    let set = said(
        &[
            "repo",
            "set",
            "shop",
            "autoMerge=false",
            "attempts.ci=7",
            "checkCommand=cargo test",
        ],
        &env,
    )
    .await;
    let id = world.get("/api/repos/shop").await.id();
    assert_snapshot!(set.replace(&id, "[repo]"));
    assert_snapshot!(said(&["repo", "set", "shop", "autoMrege=true"], &env).await, @r#"
    optio: there is no setting "autoMrege": did you mean autoMerge?
    exit code 2
    "#);
    assert_snapshot!(said(&["repo", "list"], &env).await);
}

#[tokio::test]
async fn doctor_tells_of_a_version_that_was_not_tested_and_of_missing_credentials() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = room();
    let (_reserved, port) = nobody_listens();
    let server = format!("http://127.0.0.1:{port}");
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    for (name, version) in [
        ("claude", "2.1.329 (Claude Code)"),
        ("codex", "codex-cli 0.1.0"),
        ("gemini", "0.99.0"),
        ("copilot", "GitHub Copilot CLI 1.0.102."),
    ] {
        let file = programs.join(name);
        std::fs::write(&file, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{path}", programs.display());
    let arguments = ["doctor", "--json", "--server", &server];
    let variables = [
        ("PATH", path.as_str()),
        ("OPTIO_DATA", folder.path().to_str().unwrap()),
        ("ANTHROPIC_API_KEY", "the-key"),
        ("GEMINI_API_KEY", "the-key"),
    ];
    let output = optio(&arguments, &variables).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = [
        "agent claude-code",
        "agent codex",
        "agent copilot",
        "agent gemini",
    ];
    let checks = report["checks"].as_array().unwrap().iter();
    let table: Vec<String> = checks
        .filter(|check| told.contains(&check["name"].as_str().unwrap()))
        .map(|check| {
            let text = |field: &str| check[field].as_str().unwrap_or("-").to_owned();
            let (name, status) = (text("name"), text("status"));
            format!(
                "{name}: {status}, {} => {}",
                text("message"),
                text("remedy")
            )
        })
        .collect();
    assert_snapshot!(table.join("\n"), @r#"
    agent claude-code: ok, 2.1.329 (Claude Code) => -
    agent codex: warn, codex-cli 0.1.0, older than what was tested, which is 0.169.0, without credentials => install Codex, tested with 0.169.0: npm install -g @openai/codex@0.169.0; set CODEX_API_KEY, or OPTIO_CODEX_LOGIN to the content of the auth.json that `codex login` leaves
    agent copilot: warn, GitHub Copilot CLI 1.0.102, without credentials => set COPILOT_GITHUB_TOKEN, or COPILOT_PROVIDER_BASE_URL and COPILOT_PROVIDER_API_KEY
    agent gemini: warn, 0.99.0, newer than what was tested, which is 0.61.0 => install Gemini CLI, tested with 0.61.0, with Node 20 or later: npm install -g @google/gemini-cli@0.61.0
    "#);
}

#[tokio::test]
async fn doctor_finds_what_is_missing() {
    let (folder, path) = room();
    let (_reserved, port) = nobody_listens();
    let server = format!("http://127.0.0.1:{port}");
    let data = folder.path().to_str().unwrap();
    let arguments = ["doctor", "--json", "--data", data, "--server", &server];
    let statuses = |output: Output| {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().iter().map(|check| {
            format!(
                "{} {}",
                check["name"].as_str().unwrap(),
                check["status"].as_str().unwrap()
            )
        });
        // whether this machine has namespaces, or the agents of others, is its own affair
        let of_machine = [
            "containment",
            "agent claude-code",
            "agent codex",
            "agent copilot",
            "agent gemini",
            "agent opencode",
        ];
        let checks: Vec<String> = checks
            .filter(|check| !of_machine.iter().any(|name| check.starts_with(name)))
            .collect();
        format!(
            "{}; exit code {}",
            checks.join(", "),
            output.status.code().unwrap()
        )
    };
    assert_snapshot!(statuses(optio(&arguments, &[("PATH", &path)]).await), @"git ok, data folder ok, database ok, agent scripted ok, server warn; exit code 0");
    assert_snapshot!(statuses(optio(&arguments, &[("PATH", "/nowhere")]).await), @"git fail, data folder ok, database ok, agent scripted ok, server warn; exit code 1");
}

#[tokio::test]
async fn a_task_that_fails_is_code_1_and_says_what_to_do() {
    let world = World::with_shop().await;
    let server = world.listen().await;
    let env = [("OPTIO_SERVER", server.as_str())];
    let once = json!({"settings": {"attempts": {"failures": 1}}});
    world.patch("/api/repos/shop", once).await;
    world
        .runtime
        .behave(Behaviour::new(|_| vec![Step::Fail("no such luck".into())]));
    world.work();
    let added = said(&["task", "add", "shop", "Fix the login", "--wait"], &env).await;
    let id = world.get("/api/tasks").await.body["tasks"][0]["id"].clone();
    assert_snapshot!(added.replace(id.as_str().unwrap(), "[task]"), @"
    [task] is queued
    [task] is failed: no such luck. Read the agent's message below, then retry or change the task.
    exit code 1
    ");
}

#[tokio::test]
async fn a_log_is_followed_across_a_restart_of_the_server() {
    let mut world = World::with_shop().await;
    let (address, serving) = world.listen_at("127.0.0.1:0").await;
    let server = format!("http://{address}");
    let id = world
        .add(json!({"repo": "shop", "title": "Fix the login"}))
        .await;
    let following = tokio::spawn({
        let (id, server) = (id.clone(), server.clone());
        async move {
            optio(
                &["task", "logs", "-f", &id, "--json"],
                &[("OPTIO_SERVER", &server)],
            )
            .await
        }
    });
    // only the server can tell when the program has come
    while world.app.streams.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.app.stopping.cancel();
    serving.await.unwrap();
    world.app.stopping = CancellationToken::new();
    world.listen_at(&address.to_string()).await;
    world.work();
    let followed = following.await.unwrap();
    assert!(followed.status.success(), "{followed:?}");
    let stored = world
        .get(&format!("/api/tasks/{id}/logs?limit=1000"))
        .await
        .body;
    let lines = String::from_utf8(followed.stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(Value::Array(lines), stored["entries"]);
}

/// The longest line that is kept may hold what JSON spells as six characters each.
#[tokio::test]
async fn a_line_of_mebibytes_is_followed_like_any_other() {
    let world = World::with_shop().await;
    let server = world.listen().await;
    let env = [("OPTIO_SERVER", server.as_str())];
    world.runtime.behave(Behaviour::new(|run| {
        let mut steps = vec![Step::Print("\u{1}".repeat(4 << 20))];
        steps.extend(diligent(run));
        steps
    }));
    world.work();
    let added = optio(&["task", "add", "shop", "Fix it", "--wait", "--json"], &env).await;
    let tasks: Value = serde_json::from_slice(&added.stdout).unwrap();
    let id = tasks[0]["id"].as_str().unwrap();
    let followed = optio(&["task", "logs", "-f", id, "--json"], &env).await;
    let paged = optio(&["task", "logs", id, "--json"], &env).await;
    assert!(followed.status.success());
    assert!(followed.stdout.len() > 24 << 20 && followed.stdout == paged.stdout);
}

#[tokio::test]
async fn serve_holds_its_folder_and_stops_in_order_when_it_is_told_to() {
    let (folder, path) = room();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let arguments = ["serve", "--data", data, "--listen", "127.0.0.1:0"];
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_optio"));
    command.args(arguments).env_clear().env("PATH", &path);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true);
    let mut server = command.spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    assert_snapshot!(line.replace(address, "[address]").replace(data, "[data]"), @"optio listens on [address] and keeps its data in [data]");
    assert_snapshot!(said(&["task", "list", "--server", address], &[]).await, @"
    there is no such task: add one with `optio task add REPO TITLE`
    exit code 0
    ");
    let pid = server.id().unwrap().to_string();
    let second = said(&arguments, &[("PATH", &path)]).await;
    assert_snapshot!(second.replace(&pid, "[pid]").replace(data, "[data]"), @"
    optio: another optio (process [pid]) is using the data folder [data]: stop it first, or use another data folder
    exit code 2
    ");
    let told = tokio::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .await
        .unwrap();
    assert!(told.success());
    assert_eq!(server.wait().await.unwrap().code(), Some(0));
}
