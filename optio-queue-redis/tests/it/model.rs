//! Whatever is pushed, claimed, ended and limited in whatever order: the queue hands out what a plain list would.
//!
//! Time is the server's, so nothing waits here: a lease or a delay is over at once, or does not end within a test.

use std::{collections::BTreeMap, time::Duration};

use optio_core::{
    Clock, SystemClock,
    clock::later,
    conformance::sample,
    id::RepoId,
    queue::{Claim, Job, Position, Queue, QueueLimits},
    scheduling::{WaitReason, rank},
};
use optio_queue_redis::RedisQueue;
use proptest::prelude::*;

use crate::server::{TestServer, soon};

const TASKS: u64 = 12;
const REPOS: u64 = 4;
const LONG: Duration = Duration::from_secs(600);

/// How long a lease or a delay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    Over,
    Long,
}

#[derive(Debug, Clone)]
enum Step {
    Push {
        task: u64,
        repo: u64,
        priority: i32,
        since: u64,
        delay: Option<Lasts>,
    },
    Claim(Lasts),
    Adopt {
        task: u64,
        repo: u64,
    },
    /// The claim at this place among those that were handed out, lost ones among them.
    Complete(usize),
    /// The same, and the next is taken.
    PassOn(usize, Lasts),
    Release(usize, Option<Lasts>),
    Renew(usize, Lasts),
    Remove(u64),
    Reprioritise(u64, i32),
    Limit {
        global: u32,
        per_repo: u32,
        first: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let task = || 0..TASKS;
    let priority = || prop_oneof![Just(i32::MIN), Just(i32::MAX), -3..3_i32];
    let lasts = || prop_oneof![1 => Just(Lasts::Over), 4 => Just(Lasts::Long)];
    let delay = || prop::option::weighted(0.3, lasts());
    prop_oneof![
        8 => (task(), 0..REPOS, priority(), 0..200_u64, delay()).prop_map(
            |(task, repo, priority, since, delay)| Step::Push { task, repo, priority, since, delay }
        ),
        8 => lasts().prop_map(Step::Claim),
        1 => (task(), 0..REPOS).prop_map(|(task, repo)| Step::Adopt { task, repo }),
        3 => any::<usize>().prop_map(Step::Complete),
        3 => (any::<usize>(), lasts()).prop_map(|(n, lease)| Step::PassOn(n, lease)),
        2 => (any::<usize>(), delay()).prop_map(|(n, delay)| Step::Release(n, delay)),
        2 => (any::<usize>(), lasts()).prop_map(|(n, lease)| Step::Renew(n, lease)),
        1 => task().prop_map(Step::Remove),
        1 => (task(), priority()).prop_map(|(task, priority)| Step::Reprioritise(task, priority)),
        1 => (0..6_u32, 0..4_u32, 0..3_u32).prop_map(|(global, per_repo, first)| Step::Limit {
            global,
            per_repo,
            first
        }),
    ]
}

/// What the contract says, as a list that is searched from end to end.
#[derive(Debug, Default)]
struct Model {
    waiting: BTreeMap<u64, Job>,
    held: BTreeMap<u64, Held>,
    limits: QueueLimits,
}

#[derive(Debug)]
struct Held {
    job: Job,
    token: u64,
}

impl Model {
    fn at_work(&self, repo: RepoId) -> u32 {
        let held = self.held.values();
        held.filter(|held| held.job.repo == repo).count() as u32
    }

    fn best(&self) -> Option<Job> {
        let now = SystemClock.now();
        let allowed = self.waiting.iter().filter(|(task, job)| {
            job.not_before.is_none_or(|at| at <= now)
                && !self.held.contains_key(task)
                && self.at_work(job.repo) < self.limits.of(job.repo)
                && (self.held.len() as u32) < self.limits.global
        });
        allowed
            .map(|(_, job)| job)
            .min_by_key(|job| rank(job.priority, job.since, job.task))
            .cloned()
    }

    /// A claim was handed out; if its lease was over at once, it waits again.
    fn hold(&mut self, claim: &Claim, lease: Lasts) {
        let task = number(claim.job());
        self.waiting.remove(&task);
        match lease {
            Lasts::Over => {
                self.waiting.insert(task, claim.job().clone());
            }
            Lasts::Long => {
                let (job, token) = (claim.job().clone(), claim.token());
                self.held.insert(task, Held { job, token });
            }
        }
    }

    /// Whether a claim still holds.
    fn holds(&self, claim: &Claim) -> bool {
        let held = self.held.get(&number(claim.job()));
        held.is_some_and(|held| held.token == claim.token())
    }

    /// A claim has ended, and its entry waits again unless a newer one does.
    fn wait_again(&mut self, job: Job) {
        let task = number(&job);
        self.held.remove(&task);
        self.waiting.entry(task).or_insert(job);
    }
}

fn number(job: &Job) -> u64 {
    (0..TASKS)
        .find(|n| sample::task_id(*n) == job.task)
        .expect("a task of the model")
}

fn lease(lasts: Lasts) -> Duration {
    match lasts {
        Lasts::Over => Duration::ZERO,
        Lasts::Long => LONG,
    }
}

fn moment(lasts: Lasts) -> optio_core::Timestamp {
    match lasts {
        Lasts::Over => sample::at(0),
        Lasts::Long => later(SystemClock.now(), LONG),
    }
}

async fn check(steps: Vec<Step>, queue: &RedisQueue) {
    let me = sample::worker("me");
    let mut model = Model::default();
    let mut claims: Vec<Claim> = Vec::new();
    queue
        .set_limits(model.limits.clone())
        .await
        .expect("the queue");
    for step in steps {
        match step {
            Step::Push {
                task,
                repo,
                priority,
                since,
                delay,
            } => {
                let job = Job {
                    priority,
                    since: sample::at(since),
                    not_before: delay.map(moment),
                    ..sample::job(task, repo)
                };
                queue.push(job.clone()).await.expect("the queue");
                model.waiting.insert(task, job);
            }
            Step::Claim(lasts) => {
                let claim = queue.claim(&me, lease(lasts)).await.expect("the queue");
                assert_eq!(claim.as_ref().map(Claim::job), model.best().as_ref());
                if let Some(claim) = claim {
                    model.hold(&claim, lasts);
                    claims.push(claim);
                }
            }
            Step::Adopt { task, repo } => {
                let job = sample::job(task, repo);
                let claim = queue.adopt(job, &me, LONG).await.expect("the queue");
                model.hold(&claim, Lasts::Long);
                claims.push(claim);
            }
            Step::Complete(n) if !claims.is_empty() => {
                let claim = claims.remove(n % claims.len());
                let (task, holds) = (number(claim.job()), model.holds(&claim));
                assert_eq!(queue.complete(claim).await.is_ok(), holds);
                if holds {
                    model.held.remove(&task);
                }
            }
            Step::PassOn(n, lasts) if !claims.is_empty() => {
                let claim = claims.remove(n % claims.len());
                let (task, holds) = (number(claim.job()), model.holds(&claim));
                let passed = queue.complete_and_claim(claim, lease(lasts)).await;
                assert_eq!(passed.is_ok(), holds);
                if let Ok(next) = passed {
                    model.held.remove(&task);
                    assert_eq!(next.as_ref().map(Claim::job), model.best().as_ref());
                    if let Some(claim) = next {
                        model.hold(&claim, lasts);
                        claims.push(claim);
                    }
                }
            }
            Step::Release(n, delay) if !claims.is_empty() => {
                let claim = claims.remove(n % claims.len());
                let holds = model.holds(&claim);
                let not_before = delay.map(moment);
                let job = Job {
                    not_before,
                    ..claim.job().clone()
                };
                assert_eq!(queue.release(claim, not_before).await.is_ok(), holds);
                if holds {
                    model.wait_again(job);
                }
            }
            Step::Renew(n, lasts) if !claims.is_empty() => {
                let claim = &claims[n % claims.len()];
                let renewed = queue.renew(claim, lease(lasts)).await;
                assert_eq!(renewed.is_ok(), model.holds(claim));
                if renewed.is_ok() && lasts == Lasts::Over {
                    model.wait_again(claim.job().clone());
                }
            }
            Step::Complete(_) | Step::PassOn(..) | Step::Release(..) | Step::Renew(..) => {}
            Step::Remove(task) => {
                let removed = queue.remove(sample::task_id(task)).await;
                removed.expect("the queue");
                model.waiting.remove(&task);
            }
            Step::Reprioritise(task, priority) => {
                let done = queue.reprioritise(sample::task_id(task), priority).await;
                done.expect("the queue");
                if let Some(job) = model.waiting.get_mut(&task) {
                    job.priority = priority;
                }
            }
            Step::Limit {
                global,
                per_repo,
                first,
            } => {
                let repos = BTreeMap::from([(sample::repo_id(0), first)]);
                model.limits = QueueLimits {
                    global,
                    per_repo,
                    repos,
                };
                let limited = queue.set_limits(model.limits.clone()).await;
                limited.expect("the queue");
            }
        }
        agree(queue, &model).await;
    }
    for claim in claims {
        let holds = model.holds(&claim);
        assert_eq!(queue.complete(claim).await.is_ok(), holds);
    }
    for task in 0..TASKS {
        let removed = queue.remove(sample::task_id(task)).await;
        removed.expect("the queue");
    }
}

/// What the queue shows is what the model holds, and a waiting worker is woken if it could claim.
async fn agree(queue: &RedisQueue, model: &Model) {
    let waiting = queue.waiting().await.expect("the queue");
    let mut shown: Vec<_> = waiting.iter().map(|waiting| waiting.job.clone()).collect();
    shown.sort_by_key(|job| job.task);
    assert_eq!(shown, model.waiting.values().cloned().collect::<Vec<_>>());
    for (place, waiting) in (1..).zip(waiting.clone()) {
        let found = queue.position(waiting.job.task).await;
        let expected = Position { place, waiting };
        assert_eq!(found.expect("the queue"), Some(expected));
    }
    let claimed = queue.claimed().await.expect("the queue");
    let claimed: Vec<_> = claimed.into_iter().map(|(task, _)| task).collect();
    let held: Vec<_> = model.held.values().map(|held| held.job.task).collect();
    assert_eq!(claimed, held);
    let ready = waiting
        .iter()
        .find(|waiting| waiting.why == WaitReason::Ready);
    let ready = ready.map(|waiting| waiting.job.clone());
    assert_eq!(ready, model.best());
    if ready.is_some() {
        let woken = soon("a wake-up", queue.changed()).await;
        woken.expect("the queue");
    }
}

#[test]
fn it_hands_out_what_a_plain_list_would() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = TestServer::shared();
    let queue = runtime.block_on(server.queue());
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..120))| {
        // what a failed case left behind must not disturb the smaller ones after it
        runtime.block_on(async {
            let mut admin = server.admin().await;
            server.empty(&mut admin).await;
            check(steps, &queue).await;
        });
    });
}
