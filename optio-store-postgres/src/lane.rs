//! A connection that writes, and what is done if it breaks or others are in the way.

use sqlx::{PgConnection, Postgres, pool::PoolConnection};

use crate::{
    batch::{self, AtOnce},
    error::{detail, is_lost, is_passing},
    place::{Fate, Mark, Place},
    pool::{Pool, hang_up},
    transaction::{self, ATTEMPTS, Failure, pause, run},
    writer::Job,
};

/// Carries out one batch at a time. It keeps its connection while there is something to write: to give that back to the
/// pool and to ask for it again takes more ways to the server than a transaction.
#[derive(Debug)]
pub(crate) struct Lane {
    pool: Pool,
    held: Option<Held>,
}

/// What a lane keeps from one batch to the next.
#[derive(Debug)]
struct Held {
    connection: PoolConnection<Postgres>,
    place: Place,
}

impl Lane {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self {
            pool: pool.clone(),
            held: None,
        }
    }

    pub(crate) fn has_place(&self) -> bool {
        self.held.is_some()
    }

    /// Gives its place up and its connection back to the pool.
    pub(crate) async fn rest(&mut self) {
        let Some(Held {
            mut connection,
            place,
        }) = self.held.take()
        else {
            return;
        };
        let left = self.pool.soon(place.leave(&mut connection)).await;
        match left {
            Ok(Ok(())) => self.pool.give_back(connection),
            Ok(Err(_)) | Err(_) => hang_up(connection),
        }
    }

    /// Carries out a batch and answers each of its jobs.
    pub(crate) async fn carry_out(&mut self, mut batch: Vec<Job>) {
        let failure = self.persist(&mut batch).await.err();
        if let Some(failure) = &failure {
            let error = failure.meaning();
            tracing::error!(%error, commits = batch.len(), "a batch of commits could not be written");
        }
        for job in batch {
            job.answer(failure.as_ref());
        }
    }

    /// Carries out a batch, more than once if that helps.
    async fn persist(&mut self, batch: &mut [Job]) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.transact(batch).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let undone = match failure {
                Failure::Undone(error) => error,
                outdated @ Failure::Outdated(_) => return Err(outdated),
                Failure::InDoubt { mark, error } => match mark.fate(&self.pool).await {
                    Some(Fate::Stored) => {
                        batch::fulfil_the_rest(batch);
                        return Ok(());
                    }
                    Some(Fate::Undone) => error,
                    None => return Err(Failure::InDoubt { mark, error }),
                },
            };
            if attempt == ATTEMPTS || !(is_passing(&undone) || is_lost(&undone)) {
                return Err(Failure::Undone(undone));
            }
            tracing::debug!(error = %detail(&undone), attempt, "a batch of commits is tried again");
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// Carries out a batch in one transaction and leaves its results in the jobs.
    async fn transact(&mut self, jobs: &mut [Job]) -> Result<(), Failure> {
        let (mut connection, place) = match self.held.take() {
            Some(Held { connection, place }) => (connection, Some(place)),
            None => (self.pool.acquire().await.map_err(Failure::Undone)?, None),
        };
        let stored = transact_on(&self.pool, &mut connection, place, jobs).await;
        let (place, outcome) = match stored {
            Ok(place) => (Some(place), Ok(())),
            Err((place, failure)) => (place, Err(failure)),
        };
        match place {
            Some(place) => self.held = Some(Held { connection, place }),
            None => hang_up(connection),
        }
        outcome
    }
}

/// Carries out a batch and stores it. Gives the place back in which that can be done again, if it is not lost.
async fn transact_on(
    pool: &Pool,
    connection: &mut PgConnection,
    place: Option<Place>,
    jobs: &mut [Job],
) -> Result<Place, (Option<Place>, Failure)> {
    let mut place = match place {
        Some(place) if !place.is_over() => place,
        older => pool
            .in_time(Place::take(connection, older))
            .await
            .unwrap_or_else(|silent| Err(Failure::Undone(silent)))
            .map_err(|failure| (None, failure))?,
    };
    let mark = place.next();
    let stored = pool.in_time(store(connection, mark, jobs)).await;
    match stored.unwrap_or_else(|error| Err(Failure::InDoubt { mark, error })) {
        Ok(()) => Ok(place),
        // a connection in doubt is not used again, nor one that does not even end a transaction that has failed
        Err(failure @ Failure::InDoubt { .. }) => Err((None, failure)),
        Err(Failure::Undone(error)) if is_lost(&error) => Err((None, Failure::Undone(error))),
        Err(failure) => {
            let ended = pool.in_time(run(connection, "ROLLBACK")).await;
            Err((matches!(ended, Ok(Ok(()))).then_some(place), failure))
        }
    }
}

/// Stores a batch, mostly by one statement.
async fn store(connection: &mut PgConnection, mark: Mark, jobs: &mut [Job]) -> Result<(), Failure> {
    for job in &mut *jobs {
        job.result = None; // what an earlier try came to
    }
    let at_once = batch::by_itself(connection, mark, jobs).await?;
    if matches!(at_once, AtOnce::Done | AtOnce::Refused) {
        return Ok(());
    }
    let done = carry_out(connection, mark, at_once, jobs).await;
    if done.map_err(Failure::Undone)? {
        transaction::commit(connection, mark).await?;
    }
    Ok(())
}

/// Carries out a batch in a transaction, which is then to be stored. False if nothing is left to be.
async fn carry_out(
    connection: &mut PgConnection,
    mark: Mark,
    at_once: AtOnce,
    jobs: &mut [Job],
) -> Result<bool, sqlx::Error> {
    begin(connection, mark, jobs).await?;
    if at_once == AtOnce::TooMany {
        let done = batch::at_once(connection, jobs).await?;
        if done == AtOnce::Done {
            return Ok(true);
        }
        run(connection, "ROLLBACK").await?;
        if done == AtOnce::Refused {
            return Ok(false);
        }
        begin(connection, mark, jobs).await?;
    }
    if let [job] = jobs {
        // one that stands alone needs no savepoint, and is tried in its own order, for the reason
        let fits = batch::single(connection, job).await?;
        if !fits {
            run(connection, "ROLLBACK").await?;
        }
        return Ok(fits);
    }
    batch::one_by_one(connection, jobs).await?;
    Ok(true)
}

async fn begin(connection: &mut PgConnection, mark: Mark, jobs: &[Job]) -> Result<(), sqlx::Error> {
    transaction::begin(connection, mark).await?;
    batch::take_turns(connection, jobs).await
}
