//! How the store connects, and how long it waits for what.

use std::time::Duration;

/// How a [`PostgresStore`](crate::PostgresStore) connects. The address says the rest: user, database, and with
/// `sslmode` and `sslrootcert` whether the connection is encrypted and whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// How many connections this process may hold, at least two: one writes (three do, of six or more), the
    /// others read.
    pub max_connections: u32,
    /// How long a call waits for a connection before it is `Unavailable`.
    pub acquire_timeout: Duration,
    /// How long one statement may take before it is `Unavailable`; zero for as long as it likes. A server that is silent
    /// for longer than this and [`acquire_timeout`](Self::acquire_timeout) together is taken for gone, and another
    /// connection is opened; with zero it is waited for until the system gives the connection up.
    pub statement_timeout: Duration,
    /// How long one statement may wait for another replica's lock before it is `Unavailable`; zero for as long as it
    /// takes.
    pub lock_timeout: Duration,
    /// What connecting does about a schema that is not the present one.
    pub migrations: Migrations,
}

/// What connecting does about a schema that is not the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migrations {
    /// Brings it up to date; of several processes one does, and the others wait.
    #[default]
    Run,
    /// Refuses to connect: somebody else runs [`PostgresStore::migrate`](crate::PostgresStore::migrate).
    Refuse,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            migrations: Migrations::Run,
        }
    }
}

impl PostgresOptions {
    /// The same options with so many connections.
    #[must_use]
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// The same options with another wait for a connection.
    #[must_use]
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// The same options with another limit for one statement.
    #[must_use]
    pub fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// The same options with another wait for locks.
    #[must_use]
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// The same options with another treatment of schemas that are not the present one.
    #[must_use]
    pub fn with_migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }
}
