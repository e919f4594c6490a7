//! The database and the queue: whether they will do, how far away they are, and what to do about it.

use std::{path::PathBuf, time::Duration};

use optio_core::Error;
use optio_local::SqliteStore;
use optio_queue_redis::Examination as SeenRedis;
use optio_store_postgres::{Examination as SeenPostgres, PostgresStore, Rights};

use super::{Check, CheckStatus};
use crate::{
    config::{Database, Dispatch, ServerConfig},
    state::{connect_redis, without_password},
};

/// A way that takes longer than this slows every step of every task.
const FAR: Duration = Duration::from_millis(20);
/// Clocks that differ by more than this are not kept by anybody.
const SKEWED: Duration = Duration::from_secs(1);

/// Where state is kept and work is handed out.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The data folder.
    pub data: PathBuf,
    /// The database.
    pub database: Database,
    /// The queue.
    pub dispatch: Dispatch,
    /// How long a run belongs to a replica that gives no sign of life.
    pub lease: Duration,
}

impl From<&ServerConfig> for Servers {
    fn from(config: &ServerConfig) -> Self {
        Self {
            data: config.data.clone(),
            database: config.database.clone(),
            dispatch: config.dispatch.clone(),
            lease: config.lease,
        }
    }
}

impl Servers {
    /// Looks at both.
    pub(super) async fn examine(&self) -> Vec<Check> {
        let mut checks = match &self.database {
            Database::Sqlite(path) => vec![self.sqlite(path).await],
            Database::Postgres { url, options } => {
                match PostgresStore::examine(url.expose(), options).await {
                    Ok(seen) => self.postgres(&seen),
                    Err(error) => vec![refused("database", &error)],
                }
            }
        };
        if let Dispatch::Redis { url, options } = &self.dispatch {
            let seen = async {
                let redis = connect_redis(url.expose(), options.clone()).await?;
                redis.examine().await
            };
            let shown = without_password(url.expose());
            checks.extend(match seen.await {
                Ok(seen) => self.redis(&seen, &shown),
                Err(error) => vec![refused("queue", &error)],
            });
        }
        checks
    }

    async fn sqlite(&self, path: &std::path::Path) -> Check {
        let path = self.data.join(path);
        let shown = path.display();
        match SqliteStore::schema_version(&path).await {
            Ok(_) if !path.exists() => {
                Check::new("database", CheckStatus::Ok, format!("{shown} will be made"))
            }
            Ok(schema) => {
                schema_check(&format!("SQLite file {shown}"), schema.found, schema.wanted)
            }
            Err(error) => refused("database", &error),
        }
    }

    fn postgres(&self, seen: &SeenPostgres) -> Vec<Check> {
        let name = format!("PostgreSQL {}, {}", seen.server, seen.address);
        let rights = match seen.rights {
            Rights::All => Check::new(
                "database rights",
                CheckStatus::Ok,
                "its user may write, and change the schema",
            ),
            Rights::WriteOnly => Check::new(
                "database rights",
                CheckStatus::Warn,
                "its user may write, but not change the schema: it has to own the tables, and may have to make new ones",
            )
            .with_remedy("run `optio migrate` as the owner of the tables when there is a new version; or grant that role to this user, and CREATE on the schema"),
            Rights::None => Check::new(
                "database rights",
                CheckStatus::Fail,
                "its user may not read, add, change and remove rows in each table",
            )
            .with_remedy("grant SELECT, INSERT, UPDATE and DELETE on all tables of the schema to that user"),
            Rights::Standby => Check::new(
                "database rights",
                CheckStatus::Fail,
                "the server is a standby, which takes no writes",
            )
            .with_remedy("give the address of the primary in DATABASE_URL"),
        };
        vec![
            schema_check(&name, seen.schema.found, seen.schema.wanted),
            way("database way", seen.round_trip),
            self.clock("database clock", seen.skew),
            rights,
        ]
    }

    fn redis(&self, seen: &SeenRedis, shown: &str) -> Vec<Check> {
        let name = "queue";
        let message = format!("{} at {shown}; nothing in it needs to be kept", seen.server);
        let server = match (&seen.forbidden, seen.eviction.as_deref()) {
            (Some(forbidden), _) => Check::new(name, CheckStatus::Fail, forbidden.clone()).with_remedy(
                "allow its user all commands on the keys and channels of Optio: `ACL SETUSER <user> ~* &* +@all -@dangerous +info`",
            ),
            (None, Some(policy)) if policy != "noeviction" => {
                let message = format!("{}, which evicts keys when memory is short ({policy})", seen.server);
                Check::new(name, CheckStatus::Warn, message)
                    .with_remedy("set maxmemory-policy to noeviction: entries that were evicted wait until the queue is rebuilt")
            }
            (None, _) => Check::new(name, CheckStatus::Ok, message),
        };
        vec![
            server,
            way("queue way", seen.round_trip),
            self.clock("queue clock", seen.skew),
        ]
    }

    /// Leases are told by the clocks of replicas, which are as far apart as each is from this one.
    fn clock(&self, name: &str, skew: Duration) -> Check {
        let message = format!("{} from that of this machine", shown(skew));
        let status = if skew > self.lease / 3 {
            CheckStatus::Fail
        } else if skew > SKEWED {
            CheckStatus::Warn
        } else {
            return Check::new(name, CheckStatus::Ok, message);
        };
        Check::new(name, status, message).with_remedy(format!(
            "set the clocks of both machines by NTP: a lease of {} s must end at the same time for all replicas",
            self.lease.as_secs()
        ))
    }
}

fn schema_check(name: &str, found: i64, wanted: i64) -> Check {
    match found.cmp(&wanted) {
        std::cmp::Ordering::Equal => Check::new(
            "database",
            CheckStatus::Ok,
            format!("{name}, schema {found}"),
        ),
        std::cmp::Ordering::Less => Check::new(
            "database",
            CheckStatus::Warn,
            format!("{name}, schema {found}, and {wanted} is needed"),
        )
        .with_remedy(
            "run `optio migrate`; `optio serve` does so by itself unless OPTIO_MIGRATE is refuse",
        ),
        std::cmp::Ordering::Greater => Check::new(
            "database",
            CheckStatus::Fail,
            format!("{name}, schema {found}, and this version knows {wanted}"),
        )
        .with_remedy("use the newer version of optio that has migrated it"),
    }
}

fn way(name: &str, round_trip: Duration) -> Check {
    let message = format!("a question and its answer take {}", shown(round_trip));
    if round_trip > FAR {
        Check::new(name, CheckStatus::Warn, message)
            .with_remedy("bring the server nearer: every step of every task waits for it")
    } else {
        Check::new(name, CheckStatus::Ok, message)
    }
}

/// What a backend refused with says what to do.
fn refused(name: &str, error: &Error) -> Check {
    match error.message().rsplit_once(": ") {
        Some((message, remedy)) => Check::new(name, CheckStatus::Fail, message).with_remedy(remedy),
        None => Check::new(name, CheckStatus::Fail, error.message()),
    }
}

fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(check: &Check) -> String {
        let remedy = check.remedy.as_deref().unwrap_or("nothing to do");
        format!(
            "{:?} {}: {}; {remedy}",
            check.status, check.name, check.message
        )
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let servers = Servers {
            data: PathBuf::from("/data"),
            database: Database::default(),
            dispatch: Dispatch::InProcess,
            lease: Duration::from_secs(30),
        };
        let checks = [
            schema_check("A", 2, 2),
            schema_check("A", 0, 2),
            schema_check("A", 3, 2),
            way("way", Duration::from_micros(300)),
            way("way", Duration::from_millis(80)),
            servers.clock("clock", Duration::from_millis(4)),
            servers.clock("clock", Duration::from_secs(3)),
            servers.clock("clock", Duration::from_secs(11)),
            refused(
                "queue",
                &Error::unavailable("redis", "it is away: start it"),
            ),
        ];
        insta::assert_snapshot!(checks.iter().map(told).collect::<Vec<_>>().join("\n"));
    }
}
