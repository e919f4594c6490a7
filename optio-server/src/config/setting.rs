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
    DefaultAgent,
    Log,
    LogFormat,
    DrainSeconds,
    Server,
    Token,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 11] = [
        Self::Listen,
        Self::Data,
        Self::MaxConcurrent,
        Self::RepoPodIdleMs,
        Self::MaxCostPerDay,
        Self::DefaultAgent,
        Self::Log,
        Self::LogFormat,
        Self::DrainSeconds,
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
            Self::DefaultAgent => "default_agent",
            Self::Log => "log",
            Self::LogFormat => "log_format",
            Self::DrainSeconds => "drain_seconds",
            Self::Server => "server",
            Self::Token => "token",
        }
    }

    /// Its name in the environment.
    #[must_use]
    pub fn variable(self) -> String {
        format!("OPTIO_{}", self.key().to_uppercase())
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
    Variable(Setting),
    /// A key of the file.
    File(Setting, String),
    /// Nobody set it.
    Default(Setting),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(setting) => f.write_str(&setting.flag()),
            Self::Variable(setting) => f.write_str(&setting.variable()),
            Self::File(setting, file) => write!(f, "{} in {file}", setting.key()),
            Self::Default(setting) => write!(f, "the default of {}", setting.variable()),
        }
    }
}
