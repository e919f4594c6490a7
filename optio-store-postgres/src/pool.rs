//! The connections of a process, and how long a server may be silent on one of them.
//!
//! A server whose machine loses its power, or which a network no longer reaches, hangs up on nobody: the system here goes
//! on to wait for it, for a quarter of an hour. So each call has an end of its own, behind that which the server sets
//! itself. A connection on which there is no answer by then counts as broken, and another one is asked.

use std::{io, sync::Arc, time::Duration};

use scopeguard::{ScopeGuard, guard};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
};

use crate::{error::is_lost, options::PostgresOptions};

/// Some connections, opened as they are needed. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    connections: PgPool,
    /// How long an answer may take; none if statements may take as long as they like.
    patience: Option<Duration>,
}

impl Pool {
    pub(crate) fn new(address: PgConnectOptions, options: &PostgresOptions, size: u32) -> Self {
        let session = session(options);
        let connections = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(options.acquire_timeout)
            // a ping before each call would double its way; who meets a broken connection tries again or says so
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move {
                    connection
                        .execute(sqlx::raw_sql(AssertSqlSafe(session)))
                        .await?;
                    Ok(())
                })
            })
            .connect_lazy_with(address);
        let limited = !options.statement_timeout.is_zero();
        Self {
            connections,
            patience: limited.then(|| options.statement_timeout + options.acquire_timeout),
        }
    }

    /// How many connections it has at most.
    pub(crate) fn size(&self) -> u32 {
        self.connections.options().get_max_connections()
    }

    /// A connection, which may turn out to be broken.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.connections.acquire().await
    }

    /// A connection that answers; those that do not are dropped on the way.
    pub(crate) async fn acquire_live(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        loop {
            let mut connection = guard(self.acquire().await?, hang_up);
            if matches!(self.soon(connection.ping()).await, Ok(Ok(()))) {
                return Ok(ScopeGuard::into_inner(connection));
            }
        }
    }

    /// Carries out a statement on a connection, which is hung up unless there is an answer, also if nobody waits for that any
    /// more: the pool would wait for it without an end.
    ///
    /// # Errors
    /// Those of the server; and the connection counts as lost if it is silent for too long.
    pub(crate) async fn ask(
        &self,
        connection: PoolConnection<Postgres>,
        sql: Arc<str>,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut connection = guard(connection, hang_up);
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let answer = self.in_time(query.fetch_all(&mut **connection)).await?;
        if !answer.as_ref().is_err_and(is_lost) {
            self.give_back(ScopeGuard::into_inner(connection));
        }
        answer
    }

    /// Lets others have a connection. The pool asks on it for a sign of life first, without an end of its own.
    pub(crate) fn give_back(&self, mut connection: PoolConnection<Postgres>) {
        let pool = self.clone();
        tokio::spawn(async move {
            // a silent one is dropped
            let _ = pool.soon(connection.return_to_pool()).await;
        });
    }

    /// Waits for what takes a statement or a few.
    ///
    /// # Errors
    /// The server is silent: the connection is not to be used again.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, sqlx::Error> {
        match self.patience {
            Some(patience) => within(patience, work).await,
            None => Ok(work.await),
        }
    }

    /// Waits for what any server answers at once: not for so long that those behind it give up waiting for a connection.
    ///
    /// # Errors
    /// The server is silent: the connection is not to be used again.
    pub(crate) async fn soon<T>(&self, work: impl Future<Output = T>) -> Result<T, sqlx::Error> {
        let patience = self.connections.options().get_acquire_timeout() / 2;
        within(patience, work).await
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}

async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Result<T, sqlx::Error> {
    let silent = |_| {
        let message = format!("the server has not answered for {patience:?}");
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
    };
    tokio::time::timeout(patience, work).await.map_err(silent)
}

/// Drops a connection for good, and makes room for another one at once: to close it in order would wait for the server.
pub(crate) fn hang_up(connection: PoolConnection<Postgres>) {
    drop(connection.detach());
}

/// What holds in each session. Every query has an index made for it: that the planner is kept from reading whole tables,
/// or from building tables of its own to join with, makes its choice the same on a new table and on a large one, and
/// before and after statistics are gathered. A replica that freezes in the middle of a transaction loses it soon, and
/// with it the locks that others wait for.
fn session(options: &PostgresOptions) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; \
         SET idle_in_transaction_session_timeout = 5000; \
         SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
         SET plan_cache_mode = force_generic_plan; \
         SET default_transaction_isolation = 'read committed'; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'",
        options.statement_timeout.as_millis(),
        options.lock_timeout.as_millis(),
    )
}
