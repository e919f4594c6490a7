//! From the queue to a merged pull request, straight and with a detour.

use optio_core::run::RunKind;

use crate::{
    model::Turn,
    programs::Cli,
    world::{CHECK, World},
};

/// The agent has a file written, and commits it as agents do.
pub(crate) async fn a_task_goes_from_the_queue_to_a_merged_pull_request(cli: Cli) {
    let world = World::new(cli).await;
    world.model.will([
        Turn::Write {
            path: "greeting.txt",
            text: "hello\n",
        },
        Turn::Run("git add --all && git commit --quiet --message 'Greet'".to_owned()),
        Turn::Say("The guests are greeted."),
    ]);
    let (server, task) = world.complete().await;
    let runs = server.runs(&task).await;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    let asked = world.check_asked(&runs);
    assert!(
        asked[0]
            .conversation
            .contains("Write a greeting into greeting.txt.")
    );
    world.check_usage(&runs[0].usage, &asked);
    assert_eq!(world.bare.file("greeting.txt"), "hello");
    assert_eq!(
        world.bare.subjects(),
        ["Greet the guests (#1)", "Open the shop"]
    );
    let log = format!("{:?}", server.log(&task).await);
    assert!(log.contains("The guests are greeted."), "{log}");
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}

/// What the agent leaves is not what the check wants. The second run is told so, in the session of the first.
pub(crate) async fn red_checks_resume_the_session(cli: Cli) {
    let world = World::new(cli).await;
    world.model.will([
        Turn::Run("echo helo >greeting.txt".to_owned()),
        Turn::Say("The guests are greeted."),
        Turn::Run("echo hello >greeting.txt".to_owned()),
        Turn::Say("A letter was missing."),
    ]);
    let (server, task) = world.complete().await;
    let runs = server.runs(&task).await;
    let kinds: Vec<RunKind> = runs.iter().map(|run| run.kind).collect();
    assert_eq!(kinds, [RunKind::First, RunKind::ResumeCi]);
    let asked = world.check_asked(&runs);
    let (first, second) = asked.split_at(2);
    // it remembers what it was asked and what it answered, and is told what is wrong
    for part in [
        "Write a greeting into greeting.txt.",
        "echo helo >greeting.txt",
        "The guests are greeted.",
        CHECK,
    ] {
        assert!(second[0].conversation.contains(part), "{part}: {second:#?}");
    }
    world.check_usage(&runs[0].usage, first);
    world.check_usage(&runs[1].usage, second);
    assert_eq!(world.bare.file("greeting.txt"), "hello");
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}
