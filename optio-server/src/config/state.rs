//! Where state is kept and where work is handed out: on this machine, or on servers that several replicas share.

use std::{path::PathBuf, time::Duration};

use optio_core::secret::Secret;
use optio_queue_redis::RedisOptions;
use optio_store_postgres::{Migrations, PostgresOptions};
use reqwest::Url;

use super::{layers::Layers, setting::Setting};

/// The database of one machine, in the data folder.
const SQLITE_FILE: &str = "optio.db";

/// Where state is kept.
#[derive(Debug, Clone)]
pub enum Database {
    /// In a file that one process has to itself; a relative path begins in the data folder.
    Sqlite(PathBuf),
    /// In a PostgreSQL database, for any number of replicas.
    Postgres {
        /// Its address.
        url: Secret,
        /// How it is connected to.
        options: PostgresOptions,
    },
}

/// Where work is handed out.
#[derive(Debug, Clone)]
pub enum Dispatch {
    /// Within this process.
    InProcess,
    /// By a Redis that all replicas share.
    Redis {
        /// Its address.
        url: Secret,
        /// How it is connected to.
        options: RedisOptions,
    },
}

impl Default for Database {
    fn default() -> Self {
        Self::Sqlite(PathBuf::from(SQLITE_FILE))
    }
}

impl Database {
    pub(super) fn of(layers: &mut Layers) -> Self {
        let options = postgres_options(layers);
        let Some((origin, text)) = layers.get(Setting::DatabaseUrl) else {
            return Self::default();
        };
        // the value itself is not repeated: it may hold a password
        let origin = origin.to_string();
        match database(text.trim()) {
            Ok(Address::File(path)) => Self::Sqlite(path),
            Ok(Address::Server(mut url)) => {
                for (setting, name) in [
                    (Setting::DatabaseSslmode, "sslmode"),
                    (Setting::DatabaseSslrootcert, "sslrootcert"),
                ] {
                    if let Some((_, value)) = layers.get(setting) {
                        set_parameter(&mut url, name, value.trim());
                    }
                }
                Self::Postgres {
                    url: Secret::new(url),
                    options,
                }
            }
            Err(expected) => {
                layers
                    .mistakes
                    .push(format!("{origin} cannot be used: {expected}"));
                Self::default()
            }
        }
    }

    /// What must not appear in any log.
    #[must_use]
    pub fn password(&self) -> Option<Secret> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres { url, .. } => password(url),
        }
    }
}

impl Dispatch {
    pub(super) fn of(layers: &mut Layers) -> Self {
        let prefix = layers.read(
            Setting::RedisPrefix,
            "1 to 64 letters, digits, dots, dashes or underscores",
            |text| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
            },
        );
        let Some((origin, text)) = layers.get(Setting::RedisUrl) else {
            return Self::InProcess;
        };
        let (origin, text) = (origin.to_string(), text.trim().to_owned());
        if text == "none" {
            return Self::InProcess;
        }
        let scheme = text.split("://").next().unwrap_or_default();
        if !matches!(scheme, "redis" | "rediss" | "redis+unix") || text.parse::<Url>().is_err() {
            layers.mistakes.push(format!(
                "{origin} cannot be used: expected redis://host:6379, the same with rediss for TLS, redis+unix:///path/of/socket, or none"
            ));
            return Self::InProcess;
        }
        let mut options = RedisOptions::default();
        if let Some(prefix) = prefix {
            options = options.with_prefix(prefix);
        }
        Self::Redis {
            url: Secret::new(text),
            options,
        }
    }

    /// What must not appear in any log.
    #[must_use]
    pub fn password(&self) -> Option<Secret> {
        match self {
            Self::InProcess => None,
            Self::Redis { url, .. } => password(url),
        }
    }
}

/// Refuses half a fleet: a database that replicas share while each has a queue of its own, or the other way round.
pub(super) fn must_fit(database: &Database, dispatch: &Dispatch, layers: &mut Layers) {
    let (database_from, redis_from) = (
        layers.origin(Setting::DatabaseUrl),
        layers.origin(Setting::RedisUrl),
    );
    let mistake = match (database, dispatch) {
        (Database::Postgres { .. }, Dispatch::InProcess) => format!(
            "{database_from} names a PostgreSQL database, which replicas share, and there is no queue that they share: set REDIS_URL too, such as redis://host:6379"
        ),
        (Database::Sqlite(_), Dispatch::Redis { .. }) => format!(
            "{redis_from} names a Redis, which replicas share, and the database is a SQLite file, which one process has to itself: set DATABASE_URL to a PostgreSQL database, or set OPTIO_REDIS_URL to none"
        ),
        _ => return,
    };
    layers.mistakes.push(mistake);
}

/// What an address of a database names.
enum Address {
    File(PathBuf),
    Server(String),
}

fn database(text: &str) -> Result<Address, &'static str> {
    let expected = "expected postgres://user:password@host/database, or sqlite:///path/of/file";
    if let Some(rest) = text.strip_prefix("sqlite:") {
        // sqlite:///path and sqlite:/path are one file, sqlite:name lies in the data folder
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.contains(['?', '#']) || path.starts_with(':') {
            return Err("expected the path of a file, such as sqlite:///var/lib/optio/optio.db");
        }
        return Ok(Address::File(PathBuf::from(path)));
    }
    let scheme = text.split("://").next().unwrap_or_default();
    if !matches!(scheme, "postgres" | "postgresql") || text.parse::<Url>().is_err() {
        return Err(expected);
    }
    Ok(Address::Server(text.to_owned()))
}

fn postgres_options(layers: &mut Layers) -> PostgresOptions {
    let seconds = "seconds as a whole number up to 86400";
    let parse = |text: &str| {
        let seconds: Option<u64> = text.parse().ok();
        seconds.filter(|n| *n <= 86_400).map(Duration::from_secs)
    };
    let mut options = PostgresOptions::default();
    let connections = layers.read(
        Setting::DatabaseMaxConnections,
        "a whole number from 2 to 1000",
        |text| text.parse().ok().filter(|n| (2..=1000).contains(n)),
    );
    if let Some(connections) = connections {
        options = options.with_max_connections(connections);
    }
    let acquire = layers.read(
        Setting::DatabaseAcquireTimeoutSeconds,
        "seconds as a whole number from 1 to 86400",
        |text| parse(text).filter(|time| !time.is_zero()),
    );
    if let Some(timeout) = acquire {
        options = options.with_acquire_timeout(timeout);
    }
    if let Some(timeout) = layers.read(Setting::DatabaseStatementTimeoutSeconds, seconds, parse) {
        options = options.with_statement_timeout(timeout);
    }
    if let Some(timeout) = layers.read(Setting::DatabaseLockTimeoutSeconds, seconds, parse) {
        options = options.with_lock_timeout(timeout);
    }
    let _ = layers.read(
        Setting::DatabaseSslmode,
        "disable, prefer, require, verify-ca or verify-full",
        |text| {
            ["disable", "prefer", "require", "verify-ca", "verify-full"]
                .contains(&text)
                .then_some(())
        },
    );
    options
}

/// What opening does about a database of an older version.
pub(super) fn migrations(layers: &mut Layers) -> Migrations {
    let migrations = layers.read(Setting::Migrate, "auto or refuse", |text| match text {
        "auto" => Some(Migrations::Run),
        "refuse" => Some(Migrations::Refuse),
        _ => None,
    });
    migrations.unwrap_or_default()
}

/// Puts a parameter into an address, in the place of one that is there.
fn set_parameter(url: &mut String, name: &str, value: &str) {
    // addresses without a host, as those of sockets, do not survive being written anew: only the query is
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before.to_owned(), query.to_owned()),
        None => (url.clone(), String::new()),
    };
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && part.split('=').next() != Some(name))
        .map(str::to_owned);
    let value: String = value
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let parts: Vec<String> = kept.chain([format!("{name}={value}")]).collect();
    *url = format!("{before}?{}", parts.join("&"));
}

fn password(url: &Secret) -> Option<Secret> {
    let url: Url = url.expose().parse().ok()?;
    let in_query = || {
        let mut pairs = url.query_pairs();
        let found = pairs.find(|(name, _)| matches!(name.as_ref(), "pass" | "password"));
        found.map(|(_, value)| Secret::new(value))
    };
    url.password().map(Secret::new).or_else(in_query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_takes_the_place_of_one_that_is_there() {
        for (url, wanted) in [
            ("postgres://h/d", "postgres://h/d?sslmode=require"),
            (
                "postgres://h/d?sslmode=disable&a=b",
                "postgres://h/d?a=b&sslmode=require",
            ),
        ] {
            let mut text = url.to_owned();
            set_parameter(&mut text, "sslmode", "require");
            assert_eq!(text, wanted);
        }
        let mut text = "postgres://h/d".to_owned();
        set_parameter(&mut text, "sslrootcert", "/etc/a ca&b.pem");
        assert_eq!(text, "postgres://h/d?sslrootcert=/etc/a%20ca%26b.pem");
    }
}
