//! What each story has: a room, a repository, a model, and the server with one of the programs.

use std::{fs, slice};

use optio_core::task::StateName;
use optio_server::api::{runs::RunView, task::UsageView};
use serde_json::{Value, json};

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

/// What lies on the machine for whoever works there. No agent is to show it.
const KEY_OF_THE_MACHINE: &str = "sk-of-the-machine";

/// Everything but the server, which stories start and kill.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cli: Cli,
    pub(crate) room: Room,
    pub(crate) bare: Bare,
    pub(crate) model: Model,
    /// How a request shows who asks.
    shown: String,
}

/// Who the agents' provider takes them for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Customer {
    /// One who pays for what is used, and has a key.
    Metered,
    /// One with a plan, whose limit resets at a time that its provider tells. Codex shows the same kind of key.
    Subscriber,
    /// Nobody, as no key was given to Optio; though somebody has logged in on this machine.
    Nobody,
}

impl World {
    /// Makes one whose model has nothing to say yet.
    pub(crate) async fn new(cli: Cli) -> Self {
        Self::with_customer(cli, Customer::Metered).await
    }

    pub(crate) async fn with_customer(cli: Cli, customer: Customer) -> Self {
        let model = Model::start().await;
        let mut room = Room::new();
        let programs = room.at("programs");
        cli.link_into(&programs);
        room.path = format!("{}:{}", programs.display(), room.path);
        let address = model.address();
        room.variables = match cli {
            Cli::Claude => vec![("ANTHROPIC_BASE_URL", address.to_owned())],
            Cli::Codex => vec![("OPTIO_CODEX_BASE_URL", format!("{address}/v1"))],
        };
        let (key, shown) = match (cli, customer) {
            (Cli::Claude, Customer::Metered) => ("ANTHROPIC_API_KEY", "x-api-key: "),
            (Cli::Claude, _) => ("CLAUDE_CODE_OAUTH_TOKEN", "authorization: Bearer "),
            (Cli::Codex, _) => ("CODEX_API_KEY", "authorization: Bearer "),
        };
        if matches!(customer, Customer::Nobody) {
            room.variables.extend(logged_in(&room));
        } else {
            room.variables.push((key, KEY.to_owned()));
        }
        let shown = format!("{shown}{KEY}");
        let bare = Bare::new(&room, "shop");
        Self {
            cli,
            room,
            bare,
            model,
            shown,
        }
    }

    /// Adds the repository and a task for the agent; gives the task's id.
    pub(crate) async fn submit(&self, server: &Server) -> String {
        self.submit_with(server, json!({})).await
    }

    /// The same with more settings of the repository.
    pub(crate) async fn submit_with(&self, server: &Server, more: Value) -> String {
        let model = match self.cli {
            Cli::Claude => "claude-sonnet-4-5",
            Cli::Codex => "gpt-5.5",
        };
        let mut settings = json!({
            "agent": self.cli.agent(), "model": model, "checkCommand": CHECK,
        });
        let more = more.as_object().unwrap().clone();
        settings.as_object_mut().unwrap().extend(more);
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

    /// What was used is what the answers to these requests told, and has cost what that costs.
    pub(crate) fn check_usage(&self, usage: &UsageView, asked: &[Asked]) {
        let used = Tokens::of(asked);
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
        let session = runs[0].session.clone().unwrap();
        for request in &asked {
            assert_eq!(request.session, session);
            assert_eq!(request.credentials.as_slice(), slice::from_ref(&self.shown));
        }
        for run in runs {
            assert_eq!(run.session.as_deref(), Some(session.as_str()), "{run:#?}");
        }
        asked
    }
}

/// Logs somebody in on the machine; gives what their environment says.
fn logged_in(room: &Room) -> Vec<(&'static str, String)> {
    let home = room.at("home-of-the-machine");
    let claude = json!({"claudeAiOauth": {
        "accessToken": KEY_OF_THE_MACHINE, "refreshToken": KEY_OF_THE_MACHINE,
        "expiresAt": 4_102_444_800_000_u64, "scopes": ["user:inference"], "subscriptionType": "max",
    }});
    let codex = json!({"auth_mode": "apikey", "OPENAI_API_KEY": KEY_OF_THE_MACHINE});
    for (path, text) in [
        (".claude/.credentials.json", claude),
        (".codex/auth.json", codex),
    ] {
        let path = home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.to_string()).unwrap();
    }
    vec![
        ("HOME", home.to_str().unwrap().to_owned()),
        ("OPENAI_API_KEY", KEY_OF_THE_MACHINE.to_owned()),
    ]
}
