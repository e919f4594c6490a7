//! Somebody says something to an agent that is at work.

use optio_core::task::StateName;
use optio_server::api::log::EventView;
use serde_json::json;

use crate::{gate::Gate, model::Turn, programs::Cli, room::until, world::World};

const WORDS: &str = "greet them in lower case, \"please\"";

/// Claude Code listens while it is at work, and hears it with what its tool call gives back; or right after that, if the call
/// was quicker than the words on their way into the program. Codex does not: the run after the red checks is told.
pub(crate) async fn what_is_said_is_heard_at_once_or_by_the_next_run(cli: Cli) {
    let world = World::new(cli).await;
    let gate = Gate::new(&world.room, "gate");
    world.model.will([
        Turn::Run(format!("echo helo >greeting.txt; {}", gate.command())),
        Turn::Say("The guests are greeted."),
        Turn::Run("echo hello >greeting.txt".to_owned()),
        Turn::Say("A letter was missing."),
    ]);
    let server = world.room.serve().await;
    let task = world.submit(&server).await;
    let reached = gate.reached().await;
    let path = ["api", "tasks", &task, "message"];
    let told = server.post(&path, &json!({"text": WORDS})).await.unwrap();
    assert_eq!(told["messages"][0]["text"], WORDS);
    let heard_by = || async {
        let log = server.log(&task).await;
        let mut heard = log.iter().filter_map(|entry| match &entry.event {
            EventView::Message { text, .. } if text == WORDS => Some(entry.cursor.run),
            _ => None,
        });
        (heard.next(), heard.next())
    };
    if cli == Cli::Claude {
        until("the agent to be told", || async {
            let heard = heard_by().await;
            (heard == (Some(1), None))
                .then_some(())
                .ok_or(format!("{heard:?}"))
        })
        .await;
    }
    reached.open();
    let done = server.until(&task, StateName::Completed).await;
    assert!(done.messages.is_empty(), "{done:#?}");
    let runs = server.runs(&task).await;
    let asked = world.check_asked(&runs);
    let hears = |n: usize| asked[n].conversation.contains("greet them in lower case");
    let (run, requests) = match cli {
        Cli::Claude => (1, 1..=2),
        Cli::Codex => (2, 2..=2),
    };
    let heard: Vec<bool> = (0..asked.len()).map(hears).collect();
    let first = heard.iter().position(|heard| *heard);
    assert!(
        first.is_some_and(|first| requests.contains(&first)),
        "{heard:?}"
    );
    assert_eq!(heard_by().await, (Some(run), None));
    assert_eq!(world.bare.file("greeting.txt"), "hello");
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}
