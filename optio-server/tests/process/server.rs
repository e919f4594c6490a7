//! A process of `optio serve`, and what is asked of it over HTTP.

use std::{
    fs::File,
    io,
    path::Path as FilePath,
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use optio_core::task::StateName;
use optio_server::{
    api::{
        log::{LogEntryView, LogPage},
        runs::{History, HistoryLine, RunList, RunView},
        task::TaskView,
    },
    cli::client::{Client, Path, shape},
    config::{ClientConfig, Environment, Given, Setting},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::room::{Room, until};

/// A server that was started and may have been killed since.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    client: Client,
    /// Where it listens, as a URL.
    pub(crate) address: String,
}

/// The command `optio serve` for this room.
pub(crate) fn command(room: &Room, arguments: &[&str]) -> Command {
    let log = File::options()
        .append(true)
        .create(true)
        .open(room.at("serve.log"))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_optio"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(room.data())
        .args(arguments)
        .env_clear()
        .env("PATH", &room.path)
        .env("OPTIO_LOG", "optio_core=debug,info")
        .envs(room.variables.clone())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true);
    command
}

impl Server {
    pub(crate) async fn start(room: &Room, arguments: &[&str]) -> Self {
        Self::start_by(command(room, arguments)).await
    }

    /// Starts it by a command that was made by [`command`].
    pub(crate) async fn start_by(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap_or_default();
        let Some(address) = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
        else {
            panic!("the server says no address: {line:?}");
        };
        let given = Given {
            flags: [(Setting::Server, address.to_owned())].into(),
            file: None,
        };
        let config = ClientConfig::load(given, &Environment::default()).unwrap();
        Self {
            process,
            client: Client::new(config).unwrap(),
            address: address.to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.id().unwrap().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Tells it to stop, as Ctrl-C does, and waits for its end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGINT);
        self.process.wait().await.unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        self.process.wait().await.unwrap()
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address.trim_start_matches("http://")).await
    }

    pub(crate) async fn get(&self, parts: &[&str]) -> Value {
        self.client.get(&Path::of(parts)).await.unwrap()
    }

    pub(crate) async fn post(&self, parts: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.client.post(&Path::of(parts), Some(body)).await
    }

    /// Changes settings of a repository.
    #[allow(dead_code, reason = "only the tests of replicas need it")]
    pub(crate) async fn set_repo(&self, repo: &str, settings: Value) {
        let path = Path::of(&["api", "repos", repo]);
        let patch = json!({"settings": settings});
        self.client.patch(&path, &patch).await.unwrap();
    }

    /// Adds a repository whose green pull requests are merged, with more settings; gives its id.
    pub(crate) async fn add_repo(&self, path: &FilePath, more: Value) -> String {
        let mut settings = json!({
            "agent": "scripted", "autoMerge": true, "maxConcurrentTasks": 8, "maxAgentsPerPod": 8,
        });
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        let body = json!({"url": path.to_str().unwrap(), "settings": settings});
        let added = self.post(&["api", "repos"], &body).await.unwrap();
        added["id"].as_str().unwrap().to_owned()
    }

    /// Adds a task that does as this script says; gives its id.
    pub(crate) async fn add_task(&self, repo: &str, title: &str, script: &str) -> String {
        let body = format!("```optio-script\n{script}\n```");
        let wish = json!({"repo": repo, "title": title, "body": body});
        let added = self.post(&["api", "tasks"], &wish).await.unwrap();
        added["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn cancel(&self, task: &str) {
        self.post(&["api", "tasks", task, "cancel"], &json!({}))
            .await
            .unwrap();
    }

    pub(crate) async fn task(&self, id: &str) -> TaskView {
        let value = self.client.get(&Path::of(&["api", "tasks", id])).await;
        shape(&value.unwrap()).unwrap()
    }

    pub(crate) async fn runs(&self, task: &str) -> Vec<RunView> {
        let path = Path::of(&["api", "tasks", task, "runs"]);
        let list: RunList = shape(&self.client.get(&path).await.unwrap()).unwrap();
        list.runs
    }

    pub(crate) async fn history(&self, task: &str) -> Vec<HistoryLine> {
        let path = Path::of(&["api", "tasks", task, "history"]);
        let history: History = shape(&self.client.get(&path).await.unwrap()).unwrap();
        history.history
    }

    /// The whole log of a task, page by page.
    pub(crate) async fn log(&self, task: &str) -> Vec<LogEntryView> {
        let mut entries = Vec::new();
        let mut after = None;
        loop {
            let mut path = Path::of(&["api", "tasks", task, "logs"]).with("limit", 1000);
            if let Some(after) = after {
                path = path.with("after", after);
            }
            let page: LogPage = shape(&self.client.get(&path).await.unwrap()).unwrap();
            if page.entries.is_empty() {
                return entries;
            }
            after = Some(page.next);
            entries.extend(page.entries);
        }
    }

    /// Waits until a task is in this state and no run of it is live; told what became of it instead if it ends otherwise.
    pub(crate) async fn until(&self, task: &str, state: StateName) -> TaskView {
        let wanted = format!("{task} as {}", state.as_str());
        until(&wanted, || async {
            let seen = self.task(task).await;
            let live = self.runs(task).await.iter().any(|run| run.phase != "ended");
            let ended_otherwise = seen.state.is_final() && seen.state != state;
            assert!(!ended_otherwise, "{wanted} was waited for: {seen:#?}");
            if seen.state == state && !live {
                Ok(seen)
            } else {
                Err(format!(
                    "{} {:?} {:?}",
                    seen.state.as_str(),
                    seen.hold,
                    seen.attention
                ))
            }
        })
        .await
    }
}
