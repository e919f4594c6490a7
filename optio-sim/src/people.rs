//! People: they submit, cancel, retry and reorder, push, review, merge and close, at any moment.

use optio_core::{
    NewTask, Optio,
    pull_request::{PrState, PullRequest, ReviewReport, ReviewVerdict},
    repo::Repo,
    task::Task,
};

use crate::{dice::Dice, world::World};

/// The people of one world.
#[derive(Debug)]
pub(crate) struct People<'w> {
    pub(crate) world: &'w World,
    pub(crate) desk: &'w Optio,
    pub(crate) repos: &'w [Repo],
    pub(crate) dice: Dice,
}

impl People<'_> {
    /// Somebody wants something done.
    pub(crate) async fn submit(&self) {
        let Some(repo) = self.dice.pick(self.repos) else {
            return;
        };
        let known = self.world.ledger.tasks();
        let title = format!("Task {}", known.len());
        let priority = i32::try_from(self.dice.within(50, 150)).unwrap_or(100);
        let mut new = NewTask::new(repo.id, title).with_priority(priority);
        if self.dice.hits(2_000)
            && let Some(other) = self.dice.pick(&known)
        {
            new = new.after(other.id);
        }
        match self.desk.submit(new).await {
            Ok(_) => {}
            Err(error) => self.world.ledger.note(|| format!("people: {error}")),
        }
    }

    /// Somebody does something.
    pub(crate) async fn act(&self) {
        match self.dice.below(100) {
            0..15 => self.submit().await,
            15..23 => self.on_task("cancel").await,
            23..31 => self.change_their_mind().await,
            31..40 => self.on_task("retry").await,
            40..48 => self.on_task("reprioritise").await,
            48..53 => self.on_task("review").await,
            53..58 => self.on_task("depend").await,
            58..70 => self.push(),
            70..84 => self.review(),
            84..90 => self.merge_elsewhere(),
            90..93 => self.close_elsewhere(),
            93..97 => self.message().await,
            97 => self.resume_accounts().await,
            _ => {
                let _ = self.desk.retry_failed(None).await;
            }
        }
    }

    /// Somebody says something to an agent.
    async fn message(&self) {
        let tasks = self.world.ledger.tasks();
        let Some(task) = self.dice.pick(&tasks) else {
            return;
        };
        let text = format!("message {}", self.dice.next());
        self.world
            .ledger
            .note(|| format!("people: {text} to {}", task.id));
        if let Err(error) = self.desk.message(task.id, &text).await {
            self.world.ledger.note(|| format!("people: {error}"));
        }
    }

    /// Somebody looks after the accounts, and says that they can go on.
    pub(crate) async fn resume_accounts(&self) {
        for account in self.desk.accounts().await.unwrap_or_default() {
            if let Err(error) = self.desk.resume_account(&account.name).await {
                self.world.ledger.note(|| format!("people: {error}"));
            }
        }
    }

    async fn on_task(&self, what: &'static str) {
        let tasks = self.world.ledger.tasks();
        let (Some(task), Some(other)) = (self.dice.pick(&tasks), self.dice.pick(&tasks)) else {
            return;
        };
        let (id, priority) = (
            task.id,
            i32::try_from(self.dice.within(0, 200)).unwrap_or(0),
        );
        self.world.ledger.note(|| format!("people: {what} {id}"));
        let done: Result<Task, _> = match what {
            "cancel" => self.desk.cancel(id).await,
            "retry" => self.desk.retry(id).await,
            "reprioritise" => self.desk.reprioritise(id, priority).await,
            "review" => self.desk.start_review(id).await,
            _ => self.desk.add_dependencies(id, &[other.id]).await,
        };
        if let Err(error) = done {
            self.world.ledger.note(|| format!("people: {error}"));
        }
    }

    /// Cancels something that is at work and wants it after all.
    async fn change_their_mind(&self) {
        let mut tasks = self.world.ledger.tasks();
        tasks.retain(|task| task.state.run().is_some());
        let Some(task) = self.dice.pick(&tasks) else {
            return;
        };
        self.world
            .ledger
            .note(|| format!("people: cancel {} and retry it at once", task.id));
        if self.desk.cancel(task.id).await.is_ok() {
            tokio::time::sleep(self.dice.millis(0, 2_000)).await;
            let _ = self.desk.retry(task.id).await;
        }
    }

    fn push(&self) {
        let Some(repo) = self.dice.pick(self.repos) else {
            return;
        };
        let content = self.dice.next().to_string();
        let file = format!("shared-{}.txt", self.dice.below(2));
        let branch = match self.open_pull_request() {
            Some((_, pull_request)) if self.dice.hits(3_000) => pull_request.head_branch,
            _ => "main".to_owned(),
        };
        let git = &self.world.facts.git;
        if git.branch(&repo.url, &branch).is_some() {
            self.world
                .ledger
                .note(|| format!("people: push to {branch} of {}", repo.name()));
            git.push(&repo.url, &branch, &[(&file, &content)], "By hand");
        }
    }

    fn review(&self) {
        let Some((repo, pull_request)) = self.open_pull_request() else {
            return;
        };
        let verdict = match self.dice.below(10) {
            0..6 => ReviewVerdict::Approve,
            6..9 => ReviewVerdict::RequestChanges,
            _ => ReviewVerdict::Comment,
        };
        let number = pull_request.number;
        self.world
            .ledger
            .note(|| format!("people: {verdict:?} on {number} of {}", repo.name()));
        let report = ReviewReport {
            verdict,
            summary: format!("as of {}", self.dice.next()),
            comments: Vec::new(),
        };
        self.world
            .facts
            .forge
            .add_review(&repo.url, number, "ada", report);
    }

    fn merge_elsewhere(&self) {
        if let Some((repo, pull_request)) = self.open_pull_request() {
            let number = pull_request.number;
            self.world
                .ledger
                .note(|| format!("people: merge {number} of {}", repo.name()));
            self.world.facts.forge.merge_elsewhere(&repo.url, number);
        }
    }

    fn close_elsewhere(&self) {
        if let Some((repo, pull_request)) = self.open_pull_request() {
            let number = pull_request.number;
            self.world
                .ledger
                .note(|| format!("people: close {number} of {}", repo.name()));
            self.world.facts.forge.close_elsewhere(&repo.url, number);
        }
    }

    fn open_pull_request(&self) -> Option<(&Repo, PullRequest)> {
        let repo = self.dice.pick(self.repos)?;
        let mut open = self.world.facts.forge.pull_requests(&repo.url);
        open.retain(|seen| seen.state == PrState::Open);
        Some((repo, self.dice.pick(&open)?.clone()))
    }
}
