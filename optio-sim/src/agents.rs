//! What agents do: mostly their work, and now and then everything that agents have been seen to do.

use std::{sync::Arc, time::Duration};

use optio_core::{
    Clock,
    clock::later,
    memory::{SpawnedRun, Step},
    money::Usd,
    pull_request::{ReviewReport, ReviewVerdict},
    run::RunKind,
};

use crate::{dice::Dice, watch::Ledger};

/// What an agent says as its `n`th line, so that each can be found in the log.
pub(crate) fn line(run: impl std::fmt::Display, n: u32) -> String {
    format!("{run} says {n}")
}

/// How many lines of [`line`] are among these steps.
pub(crate) fn lines(steps: &[Step]) -> u32 {
    let said = |step: &&Step| matches!(step, Step::Say(text) if text.contains(" says "));
    u32::try_from(steps.iter().filter(said).count()).unwrap_or(0)
}

/// The steps of one run, and the files of its own that it is going to write.
pub(crate) fn steps(seed: u64, run: &SpawnedRun, clock: &dyn Clock) -> (Vec<Step>, Vec<String>) {
    let dice = Dice::new(seed, ("agent", run.run.as_uuid().as_u128()));
    let mut script = Script {
        run,
        dice: &dice,
        steps: Vec::new(),
        files: Vec::new(),
        said: 0,
    };
    if run.kind == RunKind::Review {
        script.review();
    } else {
        script.code(clock);
    }
    (script.steps, script.files)
}

/// Agents of this seed, whose work the ledger knows of.
pub(crate) fn behave(
    seed: u64,
    clock: Arc<dyn Clock>,
    ledger: Arc<Ledger>,
) -> impl Fn(&SpawnedRun) -> Vec<Step> + Send + Sync + 'static {
    move |run| {
        let (steps, files) = steps(seed, run, &*clock);
        ledger.detail(|| format!("{} ({}) will do {steps:?}", run.run, run.kind));
        ledger.plan_work(files);
        steps
    }
}

/// The report of a provider that does not accept the credentials.
const REFUSED: &str = r#"{"type":"error","error":{"http_status":401,"message":"no such key"}}"#;

struct Script<'a> {
    run: &'a SpawnedRun,
    dice: &'a Dice,
    steps: Vec<Step>,
    files: Vec<String>,
    said: u32,
}

impl Script<'_> {
    fn say(&mut self) {
        self.steps.push(Step::say(line(self.run.run, self.said)));
        self.said += 1;
        if self.dice.hits(1_000) {
            self.steps.push(Step::Print("no json at all".to_owned()));
        }
        if self.dice.hits(1_000) {
            self.steps
                .push(Step::Complain("warning: unused".to_owned()));
        }
    }

    fn pause(&mut self, longest: u64) {
        self.steps.push(Step::Wait(self.dice.millis(0, longest)));
    }

    /// A file that nobody else ever writes.
    fn edit(&mut self) {
        let path = format!("work/{}/{}.txt", self.run.run, self.files.len());
        self.steps.push(Step::edit(path.clone(), "work\n"));
        self.files.push(path);
    }

    fn code(&mut self, clock: &dyn Clock) {
        self.say();
        if self.run.kind == RunKind::ResumeConflict && !self.dice.hits(1_000) {
            self.steps.push(Step::Merge("main".to_owned()));
        }
        for _ in 0..self.dice.within(1, 3) {
            self.pause(40_000);
            self.edit();
            self.say();
            if self.dice.hits(7_000) {
                self.steps
                    .push(Step::commit(format!("Work of {}", self.run.run)));
            }
            if self.dice.hits(5_000) {
                let cents = u64::from(self.dice.within(1, 100));
                self.steps
                    .push(Step::Cost(Usd::from_micros(cents * 10_000)));
            }
        }
        if self.dice.hits(2_500) {
            let file = format!("shared-{}.txt", self.dice.below(2));
            self.steps.push(Step::edit(file, self.run.run.to_string()));
        }
        if self.dice.hits(300) {
            self.steps.push(Step::Cost(Usd::from_micros(30_000_000)));
            self.pause(60_000);
        }
        self.end(clock);
    }

    fn end(&mut self, clock: &dyn Clock) {
        self.pause(20_000);
        match self.dice.below(100) {
            0..62 => {
                if !self.dice.hits(1_500) {
                    self.steps
                        .push(Step::commit(format!("The end of {}", self.run.run)));
                }
                self.say();
                self.steps.push(if self.dice.hits(4_000) {
                    Step::HearAll
                } else {
                    Step::Exit(0)
                });
            }
            62..68 => self.steps.push(Step::Crash),
            68..72 => self.steps.push(Step::Lie),
            72..77 => self
                .steps
                .push(Step::Fail("the tests do not pass".to_owned())),
            77..80 => {
                let until = later(clock.now(), self.dice.millis(10_000, 600_000));
                let told = self.dice.hits(7_000).then_some(until);
                self.steps.push(Step::RateLimit(told));
            }
            80..83 => self.steps.push(Step::Hang),
            83..86 => self.steps.push(Step::Vanish),
            86..90 => self.steps.push(Step::Exit(3)),
            90..93 => {
                // nothing but words
                self.steps
                    .retain(|step| matches!(step, Step::Say(_) | Step::Wait(_)));
                self.files.clear();
                self.steps.push(Step::Lie);
            }
            93..95 => {
                self.steps.push(Step::Wait(Duration::from_secs(3 * 3600)));
                self.steps.push(Step::Exit(0));
            }
            95..97 => {
                // it tries again for a while
                for _ in 0..5 {
                    self.steps.push(Step::Print(REFUSED.to_owned()));
                    self.pause(60_000);
                }
                self.steps.push(Step::Exit(1));
            }
            _ => self.steps.push(Step::Exit(0)),
        }
    }

    fn review(&mut self) {
        self.say();
        self.pause(60_000);
        let verdict = match self.dice.below(100) {
            0..70 => Some(ReviewVerdict::Approve),
            70..84 => Some(ReviewVerdict::RequestChanges),
            84..88 => Some(ReviewVerdict::Comment),
            _ => None,
        };
        if let Some(verdict) = verdict {
            self.steps.push(Step::Verdict(ReviewReport {
                verdict,
                summary: format!("the word of {}", self.run.run),
                comments: Vec::new(),
            }));
        }
        self.steps.push(Step::Cost(Usd::from_micros(20_000)));
        self.say();
        self.steps.push(match self.dice.below(20) {
            0 => Step::Crash,
            1 => Step::Vanish,
            2 => Step::Exit(1),
            _ => Step::Exit(0),
        });
    }
}
