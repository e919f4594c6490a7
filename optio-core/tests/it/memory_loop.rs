//! The whole loop on stand-ins: what the engine asks of its ports, the ones in memory can do.

use std::{sync::Arc, time::Duration};

use insta::assert_snapshot;
use optio_core::{
    Clock, NewTask, Optio,
    memory::{
        Behaviour, FakeGit, MemoryAgent, MemoryBus, MemoryForge, MemoryRuntime, Signal, Step,
        TokioClock, diligent,
    },
    pull_request::{Checks, FailedCheck, PrNumber},
    repo::{RepoSettings, RepoUrl},
    run::RunKind,
    task::{StateName, Task},
};
use tokio_util::sync::CancellationToken;

struct World {
    git: FakeGit,
    runtime: MemoryRuntime,
    forge: MemoryForge,
    url: RepoUrl,
    engine: Optio,
    shutdown: CancellationToken,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let git = FakeGit::new();
        let url: RepoUrl = "https://memory.test/acme/shop".parse().unwrap();
        git.add_remote(&url, "main", &[("README.md", "shop\n")]);
        let runtime = MemoryRuntime::new(git.clone());
        let bus = Arc::new(MemoryBus::new());
        let forge = MemoryForge::new(git.clone(), Arc::clone(&clock)).with_bus(bus);
        let engine = Optio::builder()
            .clock(TokioClock::new())
            .runtime(runtime.clone())
            .agent(MemoryAgent::new())
            .forge(forge.clone())
            .build()
            .unwrap();
        Self {
            git,
            runtime,
            forge,
            url,
            engine,
            shutdown: CancellationToken::new(),
        }
    }

    async fn submit(&self, title: &str) -> Task {
        let settings = RepoSettings {
            auto_merge: true,
            ..RepoSettings::default()
        };
        let repo = self
            .engine
            .add_repo(self.url.clone(), settings)
            .await
            .unwrap();
        self.engine
            .submit(NewTask::new(repo.id, title))
            .await
            .unwrap()
    }

    /// Runs the engine until the task is in this state and nothing is at work, and tells the task's history.
    async fn until(&self, task: &Task, state: StateName) -> String {
        let running = tokio::spawn({
            let (engine, shutdown) = (self.engine.clone(), self.shutdown.child_token());
            async move { engine.run(shutdown).await }
        });
        for _ in 0..3600 {
            let now = self.engine.store().task(task.id).await.unwrap();
            if now.state.name() == state && self.runtime.processes().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.shutdown.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(self.git.unknown_commands(), [""; 0]);
        let history = self.engine.store().history(task.id).await.unwrap();
        let names: Vec<_> = history.iter().map(|line| line.to.as_str()).collect();
        names.join(", ")
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_becomes_a_merged_pull_request() {
    let world = World::new();
    let task = world.submit("Add a cart").await;
    assert_snapshot!(world.until(&task, StateName::Completed).await, @"pending, queued, provisioning, running, pr_opened, completed");
    assert_eq!(world.forge.merges(&world.url, PrNumber(1)), 1);
    let main = world.git.branch(&world.url, "main").unwrap();
    assert_eq!(world.git.files(&main).len(), 2);
    assert_eq!(world.runtime.processes(), []);
}

#[tokio::test(start_paused = true)]
async fn red_checks_bring_the_agent_back() {
    let world = World::new();
    world.forge.plan_checks(|head| match head.nth {
        1 => Checks::Failed {
            failed: vec![FailedCheck {
                name: "test".to_owned(),
                conclusion: "failure".to_owned(),
                step: None,
                log_tail: "1 test failed".to_owned(),
                url: None,
            }],
        },
        _ => Checks::Passed,
    });
    let task = world.submit("Add a cart").await;
    assert_snapshot!(world.until(&task, StateName::Completed).await, @"pending, queued, provisioning, running, pr_opened, needs_attention, queued, provisioning, running, pr_opened, completed");
    let kinds: Vec<_> = world
        .runtime
        .spawned()
        .into_iter()
        .map(|run| run.kind)
        .collect();
    assert_eq!(kinds, [RunKind::First, RunKind::ResumeCi]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_somebody_else_s_work_is_resolved() {
    let world = World::new();
    let (git, url) = (world.git.clone(), world.url.clone());
    world.runtime.behave(Behaviour::new(move |run| {
        if run.kind == RunKind::First {
            git.push(
                &url,
                "main",
                &[("README.md", "theirs\n")],
                "Somebody else's",
            );
            return vec![Step::edit("README.md", "ours\n"), Step::commit("ours")];
        }
        diligent(run)
    }));
    let task = world.submit("Rewrite the README").await;
    assert_snapshot!(world.until(&task, StateName::Completed).await, @"pending, queued, provisioning, running, pr_opened, needs_attention, queued, provisioning, running, pr_opened, completed");
    let main = world.git.branch(&world.url, "main").unwrap();
    assert_eq!(world.git.files(&main)["README.md"], "ours\n");
}

#[tokio::test(start_paused = true)]
async fn an_agent_works_on_when_the_engine_is_gone_and_is_adopted() {
    let world = World::new();
    let (begun, go_on) = (Signal::new(), Signal::new());
    let steps = (begun.clone(), go_on.clone());
    world.runtime.behave(Behaviour::new(move |run| {
        let mut all = vec![Step::Raise(steps.0.clone()), Step::WaitFor(steps.1.clone())];
        all.extend(diligent(run));
        all
    }));
    let task = world.submit("Add a cart").await;
    let engine = world.engine.clone();
    tokio::select! {
        _ = engine.run(CancellationToken::new()) => {}
        () = begun.raised() => {}
    }
    assert_eq!(world.runtime.processes().len(), 1);
    go_on.raise();
    assert_snapshot!(world.until(&task, StateName::Completed).await, @"pending, queued, provisioning, running, pr_opened, completed");
    assert_eq!(world.runtime.spawned().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn cancelling_leaves_no_process_and_keeps_the_work() {
    let world = World::new();
    let begun = Signal::new();
    let raised = begun.clone();
    world.runtime.behave(Behaviour::new(move |_| {
        vec![
            Step::edit("half.txt", "half"),
            Step::Raise(raised.clone()),
            Step::Hang,
        ]
    }));
    let task = world.submit("Add a cart").await;
    let engine = world.engine.clone();
    tokio::select! {
        _ = engine.run(CancellationToken::new()) => {}
        () = begun.raised() => {}
    }
    world.engine.cancel(task.id).await.unwrap();
    assert_snapshot!(world.until(&task, StateName::Cancelled).await, @"pending, queued, provisioning, running, cancelled");
    assert_eq!(world.runtime.processes(), []);
    let saved = world.git.refs(&world.url);
    let rescued = saved
        .iter()
        .find(|(name, _)| name.starts_with("refs/optio/rescue/"));
    assert_eq!(world.git.files(rescued.unwrap().1)["half.txt"], "half");
}
