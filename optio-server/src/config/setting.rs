//! The settings of the server and the command line: one row each, with its name as a flag, in the environment and in the file.

use std::fmt;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is documented by its row below")]
pub enum Setting {
    Listen,
    Data,
    MaxConcurrent,
    RepoPodIdleMs,
    MaxCostPerDay,
    LogRetentionDays,
    DefaultAgent,
    Agents,
    Log,
    LogFormat,
    DrainSeconds,
    StartTimeoutSeconds,
    DatabaseUrl,
    DatabaseMaxConnections,
    DatabaseAcquireTimeoutSeconds,
    DatabaseStatementTimeoutSeconds,
    DatabaseLockTimeoutSeconds,
    DatabaseSslmode,
    DatabaseSslrootcert,
    Migrate,
    RedisUrl,
    RedisPrefix,
    LeaseSeconds,
    Server,
    Token,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 25] = [
        Self::Listen,
        Self::Data,
        Self::MaxConcurrent,
        Self::RepoPodIdleMs,
        Self::MaxCostPerDay,
        Self::LogRetentionDays,
        Self::DefaultAgent,
        Self::Agents,
        Self::Log,
        Self::LogFormat,
        Self::DrainSeconds,
        Self::StartTimeoutSeconds,
        Self::DatabaseUrl,
        Self::DatabaseMaxConnections,
        Self::DatabaseAcquireTimeoutSeconds,
        Self::DatabaseStatementTimeoutSeconds,
        Self::DatabaseLockTimeoutSeconds,
        Self::DatabaseSslmode,
        Self::DatabaseSslrootcert,
        Self::Migrate,
        Self::RedisUrl,
        Self::RedisPrefix,
        Self::LeaseSeconds,
        Self::Server,
        Self::Token,
    ];

    /// Its key in the file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Data => "data",
            Self::MaxConcurrent => "max_concurrent",
            Self::RepoPodIdleMs => "repo_pod_idle_ms",
            Self::MaxCostPerDay => "max_cost_per_day",
            Self::LogRetentionDays => "log_retention_days",
            Self::DefaultAgent => "default_agent",
            Self::Agents => "agents",
            Self::Log => "log",
            Self::LogFormat => "log_format",
            Self::DrainSeconds => "drain_seconds",
            Self::StartTimeoutSeconds => "start_timeout_seconds",
            Self::DatabaseUrl => "database_url",
            Self::DatabaseMaxConnections => "database_max_connections",
            Self::DatabaseAcquireTimeoutSeconds => "database_acquire_timeout_seconds",
            Self::DatabaseStatementTimeoutSeconds => "database_statement_timeout_seconds",
            Self::DatabaseLockTimeoutSeconds => "database_lock_timeout_seconds",
            Self::DatabaseSslmode => "database_sslmode",
            Self::DatabaseSslrootcert => "database_sslrootcert",
            Self::Migrate => "migrate",
            Self::RedisUrl => "redis_url",
            Self::RedisPrefix => "redis_prefix",
            Self::LeaseSeconds => "lease_seconds",
            Self::Server => "server",
            Self::Token => "token",
        }
    }

    /// Its name in the environment.
    #[must_use]
    pub fn variable(self) -> String {
        format!("OPTIO_{}", self.key().to_uppercase())
    }

    /// The name that hosts and other programs give it, which counts where its own is not set.
    #[must_use]
    pub const fn common_variable(self) -> Option<&'static str> {
        match self {
            Self::DatabaseUrl => Some("DATABASE_URL"),
            Self::RedisUrl => Some("REDIS_URL"),
            _ => None,
        }
    }

    /// Its flag. The token has none: arguments are visible to everybody on the machine.
    #[must_use]
    pub fn flag(self) -> String {
        format!("--{}", self.key().replace('_', "-"))
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(Setting),
    /// A variable of the environment.
    Variable(String),
    /// A key of the file.
    File(Setting, String),
    /// Nobody set it.
    Default(Setting),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(setting) => f.write_str(&setting.flag()),
            Self::Variable(name) => f.write_str(name),
            Self::File(setting, file) => write!(f, "{} in {file}", setting.key()),
            Self::Default(setting) => write!(f, "the default of {}", setting.variable()),
        }
    }
}
