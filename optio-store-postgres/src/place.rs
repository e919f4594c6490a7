//! The place of a connection among those that write.
//!
//! Who has one keeps migrations out, so that nothing has to be asked about them for each transaction; and has a row to
//! write the number of each transaction in, which goes with what that transaction stores: if its answer is lost, the row
//! tells what has become of it. Both spare each transaction ways to the server and back, which cost more than what it
//! does. A place is given up and taken again about once a second, so that whoever wants to migrate gets a turn.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _, postgres::PgArguments};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    cell::Cell,
    error::is_lost,
    pool::Pool,
    schema,
    transaction::{ATTEMPTS, Failure, pause},
};

/// How long a place is kept.
pub(crate) const STAY: Duration = Duration::from_secs(1);

/// The right to write on a connection.
#[derive(Debug)]
pub(crate) struct Place {
    id: Uuid,
    batches: i64,
    since: Instant,
}

/// The number of a transaction, and the row that holds it if that is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) place: Uuid,
    pub(crate) batch: i64,
}

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    Undone,
}

/// The lock comes first, so that nobody migrates between this look and the end of the place. A replica that freezes
/// loses its session soon, and the lock with it.
pub(crate) const ENTER: &str = "SET idle_session_timeout = 10000; \
     SELECT pg_advisory_unlock_all(); SELECT pg_advisory_lock_shared(1869640809, 1935894629)";

/// What is left of who died goes by and by.
const NEW_ROW: &str = "DELETE FROM writers WHERE since < now() - interval '1 day'; \
     INSERT INTO writers (batch) VALUES (0) RETURNING id";

/// The end of [`ENTER`].
pub(crate) const LEAVE: &str = "SELECT pg_advisory_unlock_all(); RESET idle_session_timeout";

impl Place {
    /// Takes a place, and gives an older one of this connection up.
    ///
    /// # Errors
    /// `Outdated` if a newer optio has migrated.
    pub(crate) async fn take(
        connection: &mut PgConnection,
        older: Option<Self>,
    ) -> Result<Self, Failure> {
        let taken = async {
            connection.execute(sqlx::raw_sql(ENTER)).await?;
            if let Some(version) = schema::newer(connection).await? {
                return Ok(Err(version));
            }
            if let Some(older) = older {
                older.remove(connection).await?;
            }
            let rows = connection.fetch_all(sqlx::raw_sql(NEW_ROW)).await?;
            let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
            Ok(Ok(Self {
                id: row.try_get(0)?,
                batches: 0,
                since: Instant::now(),
            }))
        }
        .await;
        match taken {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(version)) => Err(Failure::Outdated(version)),
            Err(error) => Err(Failure::Undone(error)),
        }
    }

    /// Gives the place up. The connection may then idle for as long as it likes.
    pub(crate) async fn leave(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.remove(connection).await?;
        connection.execute(sqlx::raw_sql(LEAVE)).await.map(|_| ())
    }

    async fn remove(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let delete = AssertSqlSafe(format!("DELETE FROM writers WHERE id = '{}'", self.id));
        connection.execute(sqlx::raw_sql(delete)).await.map(|_| ())
    }

    /// Whether somebody else should get a turn.
    pub(crate) fn is_over(&self) -> bool {
        self.since.elapsed() >= STAY
    }

    /// The mark of the next transaction.
    pub(crate) fn next(&mut self) -> Mark {
        self.batches += 1;
        Mark {
            place: self.id,
            batch: self.batches,
        }
    }
}

impl Mark {
    /// Finds out what became of a transaction whose connection has broken. It waits for the end of one that is still under
    /// way, and one that has not even begun cannot be stored any more, for its row is gone. None if it cannot be told.
    pub(crate) async fn fate(self, pool: &Pool) -> Option<Fate> {
        for attempt in 1..=ATTEMPTS {
            match self.last_stored(pool).await {
                Ok(Some(last)) if last == self.batch => return Some(Fate::Stored),
                Ok(Some(_)) => return Some(Fate::Undone),
                Ok(None) => return None,
                Err(error) if is_lost(&error) => pause(attempt).await,
                Err(_) => return None,
            }
        }
        None
    }

    /// Removes the row, and reads what was last written in it.
    async fn last_stored(self, pool: &Pool) -> Result<Option<i64>, sqlx::Error> {
        let mut arguments = PgArguments::default();
        Cell::Id(self.place).bind(&mut arguments)?;
        let sql = "DELETE FROM writers WHERE id = $1 RETURNING batch".into();
        let rows = pool.ask(pool.acquire().await?, sql, arguments).await?;
        rows.first().map(|row| row.try_get(0)).transpose()
    }
}
