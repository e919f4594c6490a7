//! The server is killed while an agent works; a run is cancelled in the middle of what its agent does.

use optio_core::task::StateName;
use optio_server::api::log::EventView;

use crate::{gate::Gate, model::Turn, programs::Cli, room::until, server::Server, world::World};

/// The agent stands at a gate in a tool call as the server dies, and goes on alone to the next gate, where the next
/// server finds it.
pub(crate) async fn an_agent_goes_on_while_its_server_is_killed_and_is_adopted_by_the_next(
    cli: Cli,
) {
    let world = World::new(cli).await;
    let first = Gate::new(&world.room, "first-gate");
    let second = Gate::new(&world.room, "second-gate");
    world.model.will([
        Turn::Run("echo one; echo hello >greeting.txt".to_owned()),
        Turn::Run(format!("echo two; {}", first.command())),
        Turn::Run("echo three".to_owned()),
        Turn::Run(format!("echo four; {}", second.command())),
        Turn::Run("echo five".to_owned()),
        Turn::Say("All of it is done."),
    ]);
    let server = world.room.serve().await;
    let task = world.submit(&server).await;
    let reached = first.reached().await;
    server.kill().await;
    let agent = world.room.supervisors();
    reached.open();
    let reached = second.reached().await;
    let server = world.room.serve().await;
    // it stands at the gate until the new server has taken the run over
    until("the run is taken over", || async {
        let epoch = server.runs(&task).await[0].epoch;
        (epoch > 1).then_some(()).ok_or(format!("epoch {epoch}"))
    })
    .await;
    assert_eq!(world.room.supervisors(), agent, "it is the same process");
    reached.open();
    server.until(&task, StateName::Completed).await;
    let runs = server.runs(&task).await;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    check_log(&server, &task).await;
    let asked = world.check_asked(&runs);
    world.check_usage(&runs[0].usage, &asked);
    assert_eq!(world.bare.file("greeting.txt"), "hello");
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}

/// The log is numbered without a gap, and holds each tool call, what came of it, and the closing word, once and in
/// order.
async fn check_log(server: &Server, task: &str) {
    let log = server.log(task).await;
    let numbers: Vec<u64> = log.iter().map(|entry| entry.cursor.seq).collect();
    let expected: Vec<u64> = (1..=log.len() as u64).collect();
    assert_eq!(numbers, expected);
    let (mut calls, mut outputs, mut texts, mut results) = (0, Vec::new(), Vec::new(), 0);
    for entry in &log {
        match &entry.event {
            EventView::ToolCall { .. } => calls += 1,
            EventView::ToolResult { output, failed, .. } => {
                assert!(!failed, "{entry:#?}");
                outputs.push(output.trim());
            }
            EventView::Text { text } => texts.push(text.as_str()),
            EventView::Result { .. } => results += 1,
            _ => {}
        }
    }
    assert_eq!((calls, results), (5, 1), "{log:#?}");
    assert_eq!(texts, ["All of it is done."]);
    assert_eq!(outputs, ["one", "two", "three", "four", "five"]);
}

/// The tool call has left a file and a process in a session of its own, and stands at a gate.
pub(crate) async fn a_cancelled_tool_call_leaves_no_process(cli: Cli) {
    let world = World::new(cli).await;
    let gate = Gate::new(&world.room, "gate");
    let command = format!(
        "echo hello >greeting.txt; setsid sleep 1000 >/dev/null 2>&1 & {}",
        gate.command()
    );
    world.model.will([Turn::Run(command)]);
    let server = world.room.serve().await;
    let task = world.submit(&server).await;
    let reached = gate.reached().await;
    until("the stray", || async {
        let processes = world.room.processes_of_runs();
        let stray = processes.iter().any(|(_, line)| line == "sleep 1000");
        stray.then_some(()).ok_or(format!("{processes:#?}"))
    })
    .await;
    world.model.fall_silent();
    server.cancel(&task).await;
    server.until(&task, StateName::Cancelled).await;
    let left = world.room.processes_of_runs();
    assert!(left.is_empty(), "{left:#?}");
    let runs = server.runs(&task).await;
    world.check_asked(&runs);
    // what the tool call wrote is saved
    let rescued = runs[0].rescue_ref.clone().unwrap();
    let saved = world
        .bare
        .git(&["show", &format!("{rescued}:greeting.txt")]);
    assert_eq!(saved, "hello");
    drop(reached);
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}
