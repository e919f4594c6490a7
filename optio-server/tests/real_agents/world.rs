//! What each story has: a room, a repository, a model, and the server with one of the programs.

use optio_core::task::StateName;
use optio_server::api::runs::RunView;
use serde_json::json;

use crate::{
    git::Bare,
    model::{Asked, Model, Tokens},
    programs::Cli,
    room::Room,
    server::Server,
};

/// The key that agents get. They are to show it, and nothing else.
const KEY: &str = "sk-test-of-optio";

/// The check of the repository: the agent is to write a file with a greeting.
pub(crate) const CHECK: &str = "grep -x hello greeting.txt";

/// Everything but the server, which stories start and kill.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cli: Cli,
    pub(crate) room: Room,
    pub(crate) bare: Bare,
    pub(crate) model: Model,
}

impl World {
    /// Makes one whose model has nothing to say yet.
    pub(crate) async fn new(cli: Cli) -> Self {
        let model = Model::start().await;
        let mut room = Room::new();
        let programs = room.at("programs");
        cli.link_into(&programs);
        room.path = format!("{}:{}", programs.display(), room.path);
        let address = model.address();
        room.variables = match cli {
            Cli::Claude => vec![
                ("ANTHROPIC_API_KEY", KEY.to_owned()),
                ("ANTHROPIC_BASE_URL", address.to_owned()),
            ],
            Cli::Codex => vec![
                ("CODEX_API_KEY", KEY.to_owned()),
                ("OPTIO_CODEX_BASE_URL", format!("{address}/v1")),
            ],
        };
        let bare = Bare::new(&room, "shop");
        Self {
            cli,
            room,
            bare,
            model,
        }
    }

    /// Adds the repository and a task for the agent; gives the task's id.
    pub(crate) async fn submit(&self, server: &Server) -> String {
        let model = match self.cli {
            Cli::Claude => "claude-sonnet-4-5",
            Cli::Codex => "gpt-5.5",
        };
        let settings = json!({
            "agent": self.cli.agent(), "model": model, "checkCommand": CHECK,
        });
        let repo = server.add_repo(&self.bare.path, settings).await;
        let wish = json!({
            "repo": repo, "title": "Greet the guests", "body": "Write a greeting into greeting.txt.",
        });
        let added = server.post(&["api", "tasks"], &wish).await.unwrap();
        added["id"].as_str().unwrap().to_owned()
    }

    /// Starts a server, submits a task, waits until it is completed.
    pub(crate) async fn complete(&self) -> (Server, String) {
        let server = self.room.serve().await;
        let task = self.submit(&server).await;
        server.until(&task, StateName::Completed).await;
        (server, task)
    }

    /// The run has used what these requests were told, and has cost what that costs.
    pub(crate) fn check_usage(&self, run: &RunView, asked: &[Asked]) {
        let (usage, used) = (&run.usage, Tokens::of(asked));
        let counted = Tokens {
            fresh: usage.input_tokens - usage.cached_tokens,
            cached: usage.cached_tokens,
            written: usage.output_tokens,
        };
        assert_eq!(counted, used);
        // list prices for a million tokens
        let (fresh, cached, written) = match self.cli {
            Cli::Claude => (3.0, 0.3, 15.0),
            Cli::Codex => (5.0, 0.5, 30.0),
        };
        let cost =
            used.fresh as f64 * fresh + used.cached as f64 * cached + used.written as f64 * written;
        let difference = (usage.cost * 1e6 - cost).abs();
        assert!(difference < 1.0, "{usage:?} instead of {cost} millionths");
    }

    /// What was asked, all of it about one session, which is that of all runs, and with our key alone.
    pub(crate) fn check_asked(&self, runs: &[RunView]) -> Vec<Asked> {
        let asked = self.model.told();
        let shown = match self.cli {
            Cli::Claude => format!("x-api-key: {KEY}"),
            Cli::Codex => format!("authorization: Bearer {KEY}"),
        };
        let session = runs[0].session.clone().unwrap();
        for request in &asked {
            assert_eq!(request.session, session);
            assert_eq!(request.credentials, [shown.clone()]);
        }
        for run in runs {
            assert_eq!(run.session.as_deref(), Some(session.as_str()), "{run:#?}");
        }
        asked
    }
}
