//! A run as a command line of opencode.

use optio_core::{
    agent::RunSpec,
    error::{Error, Result},
    runtime::Command,
    secret::Secret,
};
use serde_json::{Map, Value, json};

use super::{Auth, NAME, OpenCode, Permissions, Provider, RepositorySettings};
use crate::mcp;

/// Keeps it from looking for updates and for lists of models, and from loading language servers.
const QUIET: [&str; 3] = [
    "OPENCODE_DISABLE_AUTOUPDATE",
    "OPENCODE_DISABLE_MODELS_FETCH",
    "OPENCODE_DISABLE_LSP_DOWNLOAD",
];

/// The variable with the key of the provider at this place.
fn key(number: usize) -> String {
    format!("OPTIO_OPENCODE_KEY_{number}")
}

/// The agent of its that does the work.
const WORKER: &str = "build";

/// The file with instructions, in the run's own folder.
const INSTRUCTIONS: &str = "instructions.md";

impl OpenCode {
    pub(super) fn run_command(&self, run: &RunSpec) -> Result<Command> {
        let mut command = self
            .program
            .clone()
            .args(["run", "--format", "json", "--thinking"])
            .in_dir(run.worktree.clone())
            .stdin(run.prompt.clone());
        for name in QUIET {
            command = command.env(name, "1");
        }
        if self.repository_settings == RepositorySettings::Ignore {
            command = command.env("OPENCODE_DISABLE_PROJECT_CONFIG", "1");
        }
        if let Some(model) = &run.model {
            if !model.contains('/') {
                let message =
                    format!("{model} names no provider: opencode calls a model provider/model");
                return Err(Error::invalid(NAME, message));
            }
            command = command.args(["-m", model]);
        }
        if let Some(effort) = run.effort.as_ref().or(self.effort.as_ref()) {
            command = command.args(["--variant", effort]);
        }
        if let Some(session) = &run.resume {
            if !session.0.starts_with("ses_") {
                let message = format!("{session} is not a session of opencode");
                return Err(Error::invalid(NAME, message));
            }
            command = command.args(["--session", &session.0]);
        }
        if let Some(instructions) = &self.instructions {
            command = command.file(run.files.child(INSTRUCTIONS), instructions.clone());
        }
        let config = self.config(run)?;
        command = self.with_credentials(command);
        // it may hold what MCP servers are started with
        let config = Secret::new(Value::to_string(&config));
        command
            .secret_env
            .insert("OPENCODE_CONFIG_CONTENT".to_owned(), config);
        Ok(command)
    }

    fn with_credentials(&self, mut command: Command) -> Command {
        let mut secret = |name: &str, value: &Secret| {
            command.secret_env.insert(name.to_owned(), value.clone());
        };
        match &self.auth {
            Auth::Workspace => command,
            Auth::Providers(providers) => {
                for (number, provider) in providers.iter().enumerate() {
                    if let Some(value) = &provider.key {
                        secret(&key(number), value);
                    }
                }
                command
            }
            Auth::Logins(content) => {
                secret("OPENCODE_AUTH_CONTENT", content);
                command
            }
            Auth::Bedrock { region, token } => {
                secret("AWS_BEARER_TOKEN_BEDROCK", token);
                command.env("AWS_REGION", region)
            }
            Auth::Vertex { project, location } => command
                .env("GOOGLE_CLOUD_PROJECT", project)
                .env("GOOGLE_VERTEX_PROJECT", project)
                .env("GOOGLE_VERTEX_LOCATION", location)
                .env("VERTEX_LOCATION", location),
        }
    }

    /// The configuration, which stands above the repository's.
    fn config(&self, run: &RunSpec) -> Result<Value> {
        let mut config = json!({"autoupdate": false, "share": "disabled"});
        config["permission"] = match self.permissions {
            Permissions::All => json!("allow"),
            Permissions::Read => json!({"edit": "deny", "bash": "deny"}),
        };
        if let Auth::Providers(providers) = &self.auth {
            let providers = providers.iter().enumerate().map(|(number, provider)| {
                (
                    provider.id.clone(),
                    provider.config(number, run.model.as_deref()),
                )
            });
            config["provider"] = Value::Object(providers.collect());
        }
        if let Some(steps) = self.max_steps {
            config["agent"] = json!({WORKER: {"steps": steps}});
        }
        if self.instructions.is_some() {
            config["instructions"] = json!([format!("{}/{INSTRUCTIONS}", run.files_dir)]);
        }
        if let Some(servers) = &self.mcp_servers {
            config["mcp"] = mcp::for_opencode(&mcp::servers(NAME, servers)?);
        }
        Ok(config)
    }
}

impl Provider {
    /// The provider's part of the configuration. One that opencode does not know also has to be told its model.
    fn config(&self, number: usize, model: Option<&str>) -> Value {
        let mut options = Map::new();
        if self.key.is_some() {
            options.insert(
                "apiKey".to_owned(),
                json!(format!("{{env:{}}}", key(number))),
            );
        }
        if let Some(url) = &self.base_url {
            options.insert("baseURL".to_owned(), json!(url));
        }
        let mut provider = json!({"options": options});
        if self.compatible {
            provider["npm"] = json!("@ai-sdk/openai-compatible");
            let own = model
                .and_then(|model| model.split_once('/'))
                .filter(|(provider, _)| *provider == self.id);
            if let Some((_, model)) = own {
                provider["models"] = json!({model: {}});
            }
        }
        provider
    }
}
