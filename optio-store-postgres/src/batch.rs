//! Many commits in one transaction, each of which still succeeds or fails by itself.
//!
//! First all of them are tried together, a statement for all steps of one kind, or of kinds that mostly come together. If
//! any step does not fit they are done over in ever smaller groups, each in a savepoint, until those that do not fit stand
//! alone.

use std::{collections::HashMap, mem};

use sqlx::PgConnection;

use optio_core::{Error, Result};

use crate::{
    error::{is_lost, is_passing, is_taken, unwritable},
    op::{Key, Kind, Op},
    place::Mark,
    statement::{self, SHARED, TURN, is_shared},
    transaction::{Failure, run, unanswered},
    writer::Job,
};

/// Waits until no other transaction asks whether there is room for a run or a ticket is new, and keeps others from asking
/// until this one has ended: an answer that does not see what another transaction is about to store would be wrong. It
/// comes before every other lock, so that nobody waits in a circle.
///
/// # Errors
/// Those that end the whole transaction.
pub(crate) async fn take_turns(
    connection: &mut PgConnection,
    jobs: &[Job],
) -> Result<(), sqlx::Error> {
    let mut steps = jobs.iter().flat_map(|job| &job.steps);
    if steps.any(|op| matches!(op.kind, Kind::LiveRuns | Kind::TicketIsNew)) {
        run(connection, TAKE_TURNS).await?;
    }
    Ok(())
}

/// The number is any that nobody else uses: "opti", and "runs".
const TAKE_TURNS: &str = "SELECT pg_advisory_xact_lock(1869640809, 1920298611)";

/// What could be done for some commits at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtOnce {
    /// All of them are carried out.
    Done,
    /// There is only one, and it does not fit: it has been told what is in its way. Nothing is done.
    Refused,
    /// One of them does not fit, and nothing is done.
    Unfit,
    /// They take more than one statement.
    TooMany,
}

/// Stores commits that all fit by a statement of its own, which needs no transaction around it: nearly every batch.
///
/// # Errors
/// Those that concern all of them.
pub(crate) async fn by_itself(
    connection: &mut PgConnection,
    mark: Mark,
    jobs: &mut [Job],
) -> Result<AtOnce, Failure> {
    let mut wave = Wave::default();
    for op in jobs.iter().flat_map(|job| &job.steps) {
        if !wave.takes(op) {
            return Ok(AtOnce::TooMany);
        }
        wave.add(op);
    }
    let Some(parts) = wave.shared() else {
        return Ok(AtOnce::TooMany);
    };
    match statement::carry_out_shared(connection, Some(mark), &parts).await {
        Ok(()) => {
            fulfil(jobs);
            Ok(AtOnce::Done)
        }
        Err(error) if concerns_all(&error) => Err(unanswered(mark, error)),
        Err(error) => Ok(refuse(jobs, &error)),
    }
}

/// Tells a commit that stands alone what is in its way, if the error says so much: nothing need be tried again for that.
fn refuse(jobs: &mut [Job], error: &sqlx::Error) -> AtOnce {
    let ([job], Some(unfit)) = (jobs, statement::unfit(error)) else {
        return AtOnce::Unfit;
    };
    let Some(first) = job.steps.iter().find(|op| unfit.contains(&op.kind)) else {
        return AtOnce::Unfit;
    };
    if job.steps.iter().filter(|op| op.kind == first.kind).count() > 1 {
        return AtOnce::Unfit; // any of them
    }
    job.result = Some(Err(first.conflict()));
    AtOnce::Refused
}

/// Carries out commits that all fit, without the price of a savepoint. If one of them does not fit, the caller rolls back.
///
/// # Errors
/// Those that end the whole transaction.
pub(crate) async fn at_once(
    connection: &mut PgConnection,
    jobs: &mut [Job],
) -> Result<AtOnce, sqlx::Error> {
    match steps(connection, jobs).await {
        Ok(true) => {
            fulfil(jobs);
            Ok(AtOnce::Done)
        }
        Ok(false) => Ok(AtOnce::Unfit),
        Err(error) if concerns_all(&error) => Err(error),
        Err(error) => Ok(refuse(jobs, &error)),
    }
}

/// Whether the error ends the whole transaction, and not only the step that met it.
fn concerns_all(error: &sqlx::Error) -> bool {
    is_lost(error) || is_passing(error)
}

/// Those that have no result yet fitted.
pub(crate) fn fulfil_the_rest(jobs: &mut [Job]) {
    for job in jobs {
        job.result.get_or_insert(Ok(()));
    }
}

fn fulfil(jobs: &mut [Job]) {
    for job in jobs {
        job.result = Some(Ok(()));
    }
}

/// Carries out commits and leaves its own result in each.
///
/// # Errors
/// Those that end the whole transaction.
pub(crate) async fn one_by_one(
    connection: &mut PgConnection,
    jobs: &mut [Job],
) -> Result<(), sqlx::Error> {
    let mut groups = vec![jobs];
    while let Some(group) = groups.pop() {
        if let [job] = group {
            job.result = Some(alone(connection, &job.steps).await?);
        } else if together(connection, group).await? {
            fulfil(group);
        } else {
            let (first, second) = group.split_at_mut(group.len() / 2);
            groups.extend([second, first]);
        }
    }
    Ok(())
}

/// Carries out all steps of all these commits. False, and nothing done, if one of them does not fit.
async fn together(connection: &mut PgConnection, group: &[Job]) -> Result<bool, sqlx::Error> {
    let done = savepoint(connection, async |connection| {
        steps(connection, group).await
    })
    .await?;
    Ok(done.unwrap_or(false))
}

/// The steps of all these commits, those of one kind at once. False, and some of them done, if one does not fit.
async fn steps(connection: &mut PgConnection, group: &[Job]) -> Result<bool, sqlx::Error> {
    let mut wave = Wave::default();
    for op in group.iter().flat_map(|job| &job.steps) {
        if !wave.takes(op) && !wave.flush(connection).await? {
            return Ok(false);
        }
        wave.add(op);
    }
    wave.flush(connection).await
}

/// Carries out a commit that has a transaction to itself, and leaves its result in it. False if it does not fit; then the
/// caller rolls back.
///
/// # Errors
/// Those that end the whole transaction.
pub(crate) async fn single(
    connection: &mut PgConnection,
    job: &mut Job,
) -> Result<bool, sqlx::Error> {
    let mut unfit = None;
    let done = match in_order(connection, &job.steps, &mut unfit).await {
        Err(error) if concerns_all(&error) => return Err(error),
        done => done,
    };
    let result = result_of(done, unfit);
    let fits = result.is_ok();
    job.result = Some(result);
    Ok(fits)
}

/// Carries out the steps of one commit among others.
async fn alone(connection: &mut PgConnection, ops: &[Op]) -> Result<Result<()>, sqlx::Error> {
    let mut unfit = None;
    let done = savepoint(connection, async |connection| {
        in_order(connection, ops, &mut unfit).await
    })
    .await?;
    Ok(result_of(done, unfit))
}

/// Carries out the steps of one commit in their order. False, and why, if one of them does not fit.
async fn in_order(
    connection: &mut PgConnection,
    ops: &[Op],
    unfit: &mut Option<Error>,
) -> Result<bool, sqlx::Error> {
    for group in ops.chunk_by(|a, b| a.kind == b.kind && is_list(a.kind)) {
        let group: Vec<&Op> = group.iter().collect();
        let done = statement::carry_out(connection, group[0].kind, &group).await;
        if matches!(&done, Ok(false)) || done.as_ref().is_err_and(is_taken) {
            *unfit = Some(group[0].conflict());
        }
        if !done? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn result_of(done: Result<bool, sqlx::Error>, unfit: Option<Error>) -> Result<()> {
    match (done, unfit) {
        (_, Some(conflict)) => Err(conflict),
        (Ok(_), None) => Ok(()),
        (Err(error), None) => Err(unwritable(error)),
    }
}

/// Whether steps of this kind come in rows that speak of one thing.
fn is_list(kind: Kind) -> bool {
    matches!(kind, Kind::LogBatch | Kind::Audit)
}

/// Undoes `work` unless it comes to true.
///
/// # Errors
/// On the outside: the transaction itself is lost. On the inside: this piece of work failed and is undone.
async fn savepoint(
    connection: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<bool, sqlx::Error>,
) -> Result<Result<bool, sqlx::Error>, sqlx::Error> {
    run(connection, "SAVEPOINT piece").await?;
    let outcome = work(connection).await;
    match outcome {
        Ok(true) => run(connection, "RELEASE piece").await?,
        Err(error) if concerns_all(&error) => return Err(error),
        Ok(false) | Err(_) => run(connection, "ROLLBACK TO piece; RELEASE piece").await?,
    }
    Ok(outcome)
}

/// Steps that can be carried out kind by kind, because that leaves the order of those that touch the same thing.
#[derive(Debug, Default)]
struct Wave<'a> {
    touched: HashMap<Key, Kind>,
    by_kind: Vec<Vec<&'a Op>>,
}

impl<'a> Wave<'a> {
    fn takes(&self, op: &Op) -> bool {
        let before = op.key.and_then(|key| self.touched.get(&key));
        before.is_none_or(|before| *before < op.kind && !(is_shared(*before) && is_shared(op.kind)))
    }

    fn add(&mut self, op: &'a Op) {
        self.by_kind.resize_with(Kind::ALL.len(), Vec::new);
        if let Some(key) = op.key {
            self.touched.insert(key, op.kind);
        }
        self.by_kind[op.kind as usize].push(op);
    }

    /// The steps of each of the [`SHARED`] kinds, if there are no others.
    fn shared(mut self) -> Option<Vec<Vec<&'a Op>>> {
        let mut kinds = Kind::ALL.into_iter().zip(&self.by_kind);
        if kinds.any(|(kind, ops)| !ops.is_empty() && !is_shared(kind)) {
            return None;
        }
        self.sort();
        Some(SHARED.map(|kind| self.take(kind)).into())
    }

    /// Replicas that lock rows in one order do not wait for each other in a circle; what has no key keeps its own order.
    fn sort(&mut self) {
        for (ops, kind) in self.by_kind.iter_mut().zip(Kind::ALL) {
            if kind < Kind::LogFollows {
                ops.sort_by_key(|op| op.key);
            }
        }
    }

    /// Carries out what has been added. False if something did not fit.
    async fn flush(&mut self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        self.touched.clear();
        self.sort();
        for kind in Kind::ALL {
            if !self.carry_out(connection, kind).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Carries out the steps of this kind; those that share a statement in one turn.
    async fn carry_out(
        &mut self,
        connection: &mut PgConnection,
        kind: Kind,
    ) -> Result<bool, sqlx::Error> {
        if is_shared(kind) && kind != TURN {
            return Ok(true);
        }
        if kind == TURN {
            let parts = SHARED.map(|kind| self.take(kind));
            if parts.iter().any(|ops| !ops.is_empty()) {
                statement::carry_out_shared(connection, None, &parts).await?;
            }
            return Ok(true);
        }
        let ops = self.take(kind);
        Ok(ops.is_empty() || statement::carry_out(connection, kind, &ops).await?)
    }

    fn take(&mut self, kind: Kind) -> Vec<&'a Op> {
        let ops = self.by_kind.get_mut(kind as usize);
        ops.map(mem::take).unwrap_or_default()
    }
}
