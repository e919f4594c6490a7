//! What an agent is given beside its task: MCP servers, and how the server's file sets it up.

use std::fs;

use optio_core::task::StateName;
use serde_json::json;

use crate::{model::Turn, programs::Cli, world::World};

/// Both programs start the servers that they are given in a file, in a session that begins and in one that is resumed. What
/// these are started with is secret: no argument of the agent's processes holds it.
pub(crate) async fn servers_are_started_and_nothing_of_them_is_in_an_argument(cli: Cli) {
    let mut world = World::new(cli).await;
    let started = world.room.at("started");
    // it notes that it was started, and with what; then it is gone, which no agent minds
    let note = format!("echo \"$1 $KEY\" >>{}", started.display());
    let servers = json!({"mcpServers": {"notes": {
        "command": "sh",
        "args": ["-c", note, "sh", "the-secret-of-the-server"],
        "env": {"KEY": "the-key-of-the-server"},
    }}});
    let servers = ("OPTIO_MCP_SERVERS", servers.to_string());
    world.room.variables.push(servers);
    let look = "for word in 'jso[n]' 'of-the-serve[r]'; do cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep --quiet $word && echo $word; done >seen.txt";
    world.model.will([
        Turn::Run(format!("{look}; echo helo >greeting.txt")),
        Turn::Say("The guests are greeted."),
        Turn::Run("echo hello >greeting.txt".to_owned()),
        Turn::Say("A letter was missing."),
    ]);
    let (server, task) = world.complete().await;
    assert_eq!(server.runs(&task).await.len(), 2);
    // the arguments of the agent were seen, and they hold no secret
    assert_eq!(world.bare.file("seen.txt"), "jso[n]");
    let started = fs::read_to_string(started).unwrap();
    let line = "the-secret-of-the-server the-key-of-the-server\n";
    assert!(started.matches(line).count() >= 2, "{started}");
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}

/// What they are set to is in what the programs ask the model. A flag that one does not know would keep it from starting.
pub(crate) async fn an_agent_is_set_up_by_the_file_and_the_repository(cli: Cli) {
    let world = World::new(cli).await;
    let settings = match cli {
        Cli::Claude => {
            "[agent.claude-code]\neffort = \"low\"\nmax_turns = 9\nmax_budget_usd = 5\ninstructions = \"Greet kindly.\"\nrepository_settings = false\n"
        }
        Cli::Codex => {
            "[agent.codex]\neffort = \"low\"\ninstructions = \"Greet kindly.\"\nsettings.model_verbosity = \"low\"\n"
        }
    };
    let data = world.room.data();
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("optio.toml"), settings).unwrap();
    world.model.will([
        Turn::Run("echo hello >greeting.txt".to_owned()),
        Turn::Say("The guests are greeted."),
    ]);
    let server = world.room.serve().await;
    let task = world.submit_with(&server, json!({"effort": "high"})).await;
    server.until(&task, StateName::Completed).await;
    let runs = server.runs(&task).await;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    let version = runs[0].agent_version.as_deref();
    assert_eq!(version, Some(cli.program().version));
    let asked = &world.check_asked(&runs)[0].whole;
    assert!(asked.contains("Greet kindly."), "{asked}");
    if cli == Cli::Codex {
        // the repository's comes before the file's
        assert!(asked.contains(r#""effort":"high""#), "{asked}");
        assert!(asked.contains(r#""verbosity":"low""#), "{asked}");
    }
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}
