//! Whatever is pushed, claimed, ended and limited in whatever order: the queue hands out what a plain list would.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use optio_core::{
    Clock, Timestamp,
    clock::later,
    conformance::sample,
    id::RepoId,
    memory::{MemoryQueue, TokioClock},
    queue::{Claim, Job, Queue, QueueLimits},
    scheduling::rank,
};
use proptest::prelude::*;

const TASKS: u64 = 12;
const REPOS: u64 = 4;

#[derive(Debug, Clone)]
enum Step {
    Push {
        task: u64,
        repo: u64,
        priority: i32,
        delay: Option<u64>,
    },
    Claim {
        lease: u64,
    },
    Adopt {
        task: u64,
        repo: u64,
    },
    /// The claim at this place among those that are held, or a lost one.
    Complete(usize),
    /// The same, and the next is taken with a lease of so many seconds.
    PassOn(usize, u64),
    Release(usize, Option<u64>),
    Renew(usize, u64),
    Remove(u64),
    Reprioritise(u64, i32),
    Limit {
        global: u32,
        per_repo: u32,
        first: u32,
    },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let task = || 0..TASKS;
    let priority = || prop_oneof![Just(i32::MIN), Just(i32::MAX), -3..3_i32];
    let seconds = || 1..200_u64;
    prop_oneof![
        8 => (task(), 0..REPOS, priority(), prop::option::weighted(0.3, seconds())).prop_map(
            |(task, repo, priority, delay)| Step::Push { task, repo, priority, delay }
        ),
        8 => seconds().prop_map(|lease| Step::Claim { lease }),
        1 => (task(), 0..REPOS).prop_map(|(task, repo)| Step::Adopt { task, repo }),
        3 => any::<usize>().prop_map(Step::Complete),
        3 => (any::<usize>(), seconds()).prop_map(|(n, s)| Step::PassOn(n, s)),
        2 => (any::<usize>(), prop::option::of(seconds())).prop_map(|(n, s)| Step::Release(n, s)),
        2 => (any::<usize>(), seconds()).prop_map(|(n, s)| Step::Renew(n, s)),
        1 => task().prop_map(Step::Remove),
        1 => (task(), priority()).prop_map(|(task, priority)| Step::Reprioritise(task, priority)),
        1 => (0..6_u32, 0..4_u32, 0..3_u32).prop_map(|(global, per_repo, first)| Step::Limit {
            global,
            per_repo,
            first
        }),
        3 => seconds().prop_map(Step::Wait),
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
    until: Timestamp,
}

impl Model {
    fn end_leases(&mut self, now: Timestamp) {
        for (task, held) in std::mem::take(&mut self.held) {
            if held.until <= now {
                self.waiting.entry(task).or_insert(held.job);
            } else {
                self.held.insert(task, held);
            }
        }
    }

    fn at_work(&self, repo: RepoId) -> u32 {
        self.held
            .values()
            .filter(|held| held.job.repo == repo)
            .count() as u32
    }

    fn best(&self, now: Timestamp) -> Option<Job> {
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

    fn hold(&mut self, task: u64, claim: &Claim, until: Timestamp) {
        self.waiting.remove(&task);
        let held = Held {
            job: claim.job().clone(),
            token: claim.token(),
            until,
        };
        self.held.insert(task, held);
    }

    /// Whether a claim still holds.
    fn holds(&self, claim: &Claim) -> bool {
        self.held
            .get(&number(claim.job()))
            .is_some_and(|held| held.token == claim.token())
    }
}

fn number(job: &Job) -> u64 {
    (0..TASKS)
        .find(|n| sample::task_id(*n) == job.task)
        .expect("a task of the model")
}

async fn check(steps: Vec<Step>) {
    let clock = Arc::new(TokioClock::new());
    let queue = MemoryQueue::new(Arc::clone(&clock) as _);
    let me = sample::worker("me");
    let mut model = Model::default();
    // claims that were handed out and not given back, lost ones among them
    let mut claims: Vec<Claim> = Vec::new();
    let after = |seconds: u64| later(clock.now(), Duration::from_secs(seconds));
    for step in steps {
        model.end_leases(clock.now());
        match step {
            Step::Push {
                task,
                repo,
                priority,
                delay,
            } => {
                let job = Job {
                    priority,
                    since: clock.now(),
                    not_before: delay.map(after),
                    ..sample::job(task, repo)
                };
                queue.push(job.clone()).await.expect("the queue");
                model.waiting.insert(task, job);
            }
            Step::Claim { lease } => {
                let claim = queue
                    .claim(&me, Duration::from_secs(lease))
                    .await
                    .expect("the queue");
                assert_eq!(
                    claim.as_ref().map(Claim::job),
                    model.best(clock.now()).as_ref()
                );
                if let Some(claim) = claim {
                    model.hold(number(claim.job()), &claim, after(lease));
                    claims.push(claim);
                }
            }
            Step::Adopt { task, repo } => {
                let job = sample::job(task, repo);
                let claim = queue
                    .adopt(job, &me, Duration::from_secs(50))
                    .await
                    .expect("the queue");
                model.hold(task, &claim, after(50));
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
            Step::PassOn(n, lease) if !claims.is_empty() => {
                let claim = claims.remove(n % claims.len());
                let (task, holds) = (number(claim.job()), model.holds(&claim));
                let passed = queue
                    .complete_and_claim(claim, Duration::from_secs(lease))
                    .await;
                assert_eq!(passed.is_ok(), holds);
                if let Ok(next) = passed {
                    model.held.remove(&task);
                    let best = model.best(clock.now());
                    assert_eq!(next.as_ref().map(Claim::job), best.as_ref());
                    if let Some(claim) = next {
                        model.hold(number(claim.job()), &claim, after(lease));
                        claims.push(claim);
                    }
                }
            }
            Step::Release(n, delay) if !claims.is_empty() => {
                let claim = claims.remove(n % claims.len());
                let (task, holds) = (number(claim.job()), model.holds(&claim));
                let not_before = delay.map(after);
                assert_eq!(queue.release(claim, not_before).await.is_ok(), holds);
                if let Some(held) = holds.then(|| model.held.remove(&task)).flatten() {
                    model.waiting.entry(task).or_insert(Job {
                        not_before,
                        ..held.job
                    });
                }
            }
            Step::Renew(n, lease) if !claims.is_empty() => {
                let claim = &claims[n % claims.len()];
                let renewed = queue.renew(claim, Duration::from_secs(lease)).await;
                assert_eq!(renewed.is_ok(), model.holds(claim));
                if renewed.is_ok() {
                    let held = model.held.get_mut(&number(claim.job()));
                    held.expect("it holds").until = after(lease);
                }
            }
            Step::Complete(_) | Step::PassOn(..) | Step::Release(..) | Step::Renew(..) => {}
            Step::Remove(task) => {
                queue
                    .remove(sample::task_id(task))
                    .await
                    .expect("the queue");
                model.waiting.remove(&task);
            }
            Step::Reprioritise(task, priority) => {
                queue
                    .reprioritise(sample::task_id(task), priority)
                    .await
                    .expect("the queue");
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
                queue
                    .set_limits(model.limits.clone())
                    .await
                    .expect("the queue");
            }
            Step::Wait(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        }
        agree(&queue, &mut model, clock.now()).await;
    }
}

/// What the queue shows is what the model holds, and a waiting worker is woken exactly when it could claim.
async fn agree(queue: &MemoryQueue, model: &mut Model, now: Timestamp) {
    model.end_leases(now);
    let waiting = queue.waiting().await.expect("the queue");
    let mut shown: Vec<_> = waiting.iter().map(|waiting| waiting.job.clone()).collect();
    shown.sort_by_key(|job| job.task);
    assert_eq!(shown, model.waiting.values().cloned().collect::<Vec<_>>());
    let claimed: Vec<_> = queue
        .claimed()
        .await
        .expect("the queue")
        .into_iter()
        .map(|(task, _)| task)
        .collect();
    let held: Vec<_> = model.held.values().map(|held| held.job.task).collect();
    assert_eq!(claimed, held);
    let ready = waiting
        .iter()
        .find(|waiting| waiting.why == optio_core::scheduling::WaitReason::Ready);
    assert_eq!(ready.map(|waiting| waiting.job.clone()), model.best(now));
    let woken = futures_util::FutureExt::now_or_never(queue.changed()).is_some();
    assert_eq!(woken, model.best(now).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_hands_out_what_a_plain_list_would(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check(steps));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tasks_of_two_hundred_repositories_are_claimed_in_order() {
    let queue = MemoryQueue::new(Arc::new(TokioClock::new()));
    let limits = QueueLimits {
        global: 10_000,
        per_repo: 25,
        repos: BTreeMap::new(),
    };
    queue.set_limits(limits).await.expect("the queue");
    for n in 0..10_000 {
        queue
            .push(sample::job(n, n % 200))
            .await
            .expect("the queue");
    }
    let worker = sample::worker("a");
    let mut claimed = Vec::new();
    while let Some(claim) = queue
        .claim(&worker, Duration::from_secs(600))
        .await
        .expect("the queue")
    {
        claimed.push(claim.job().task);
    }
    // the first 25 of each repository are the first half of all
    assert_eq!(claimed, (0..5_000).map(sample::task_id).collect::<Vec<_>>());
}
