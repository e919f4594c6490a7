//! A server that is new enough, the connection that everybody shares, and how long to wait for either.
//!
//! A server whose machine loses its power, or which a network no longer reaches, hangs up on nobody, and one in whose place
//! another one has stepped may not either: who has waited for an answer in vain, or may not write any more, opens another
//! connection for all calls after it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use optio_core::error::{Error, ErrorKind, Result};
use redis::{
    Client, FromRedisValue, IntoConnectionInfo as _, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};

use crate::error::{BACKEND, from_redis};

/// How to reach a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// What stands in braces before each key and channel. Installations that share a server differ in it.
    pub prefix: String,
    /// To get a connection.
    pub connect_timeout: Duration,
    /// To get an answer.
    pub response_timeout: Duration,
    /// A connection that only listens is asked this often whether it is alive.
    pub heartbeat: Duration,
    /// Who waits for a change looks at least this often: so soon a server that was emptied is noticed while nothing else
    /// happens.
    pub look: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "optio".to_owned(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(3),
            heartbeat: Duration::from_secs(10),
            look: Duration::from_secs(2),
        }
    }
}

impl RedisOptions {
    /// The same with another prefix.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The same with another time to get an answer.
    #[must_use]
    pub fn with_response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// The beginning of each key: a hash tag, so that all keys share a slot.
    pub(crate) fn tag(&self) -> String {
        format!("{{{}}}:", self.prefix)
    }
}

/// A server. Cheap to clone; clones share a connection, which comes back by itself after it was lost.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    shared: Arc<Mutex<Shared>>,
    options: RedisOptions,
    version: String,
}

/// The connection of all clones.
struct Shared {
    connection: ConnectionManager,
    /// How many there were before it.
    number: u64,
}

impl Redis {
    /// Connects to `redis://[user:password@]host[:port][/db]`, the same with `rediss` for TLS (which trusts what the
    /// system trusts), or `redis+unix:///path`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for another address, [`ErrorKind::Denied`] for wrong credentials,
    /// [`ErrorKind::Unsupported`] if the server is older than Redis 6.2 or Valkey 7.2, [`ErrorKind::Unavailable`] if
    /// there is none.
    pub async fn connect(url: &str, options: RedisOptions) -> Result<Self> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // an error means that somebody else was quicker, which is as good
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        // whoever asks waits for the answer: nothing is gained by sending a question later
        let at_once = TcpSettings::default().set_nodelay(true);
        let address = url.into_connection_info().map_err(from_redis)?;
        let client = Client::open(address.set_tcp_settings(at_once)).map_err(from_redis)?;
        let connection = open(&client, &options).map_err(from_redis)?;
        let mut redis = Self {
            client,
            shared: Arc::new(Mutex::new(Shared {
                connection,
                number: 0,
            })),
            options,
            version: String::new(),
        };
        redis.version = redis.check().await?;
        Ok(redis)
    }

    /// The name and version of the server, as `redis 7.0.15`; as it was when it was connected to.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn options(&self) -> &RedisOptions {
        &self.options
    }

    async fn check(&self) -> Result<String> {
        let info: String = match self.query(&redis::cmd("INFO")).await {
            Err(error) if error.kind() == ErrorKind::Denied && !is_login(&error) => {
                tracing::warn!("redis: INFO is not allowed, so its version is not checked");
                return Ok("unknown".to_owned());
            }
            info => info?,
        };
        let version = new_enough(&info)?;
        if field(&info, "maxmemory").is_some_and(|limit| limit != "0")
            && let Some(policy) = field(&info, "maxmemory_policy")
            && policy != "noeviction"
        {
            tracing::warn!(
                policy,
                "redis evicts keys when memory is short, so entries of the queue can be lost: set maxmemory-policy to noeviction"
            );
        }
        Ok(version)
    }

    /// A command that may be done twice: it is tried once more if the connection turns out to be lost.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T> {
        self.in_time(
            async |connection| match command.query_async(connection).await {
                Err(error) if is_lost(&error) => command.query_async(connection).await,
                answer => answer,
            },
        )
        .await
    }

    /// A script that may run twice, loaded if the server does not know it (any more): it is tried once more if the
    /// connection turns out to be lost.
    pub(crate) async fn run_again<T: FromRedisValue>(
        &self,
        script: &redis::ScriptInvocation<'_>,
    ) -> Result<T> {
        self.in_time(
            async |connection| match script.invoke_async(connection).await {
                Err(error) if is_lost(&error) => script.invoke_async(connection).await,
                answer => answer,
            },
        )
        .await
    }

    /// A script that is tried once, and whether another try is worth it if that failed.
    pub(crate) async fn attempt<T: FromRedisValue>(
        &self,
        script: &redis::ScriptInvocation<'_>,
    ) -> Result<T, (Error, Retry)> {
        let mut retry = Retry::Useless;
        let answer = self.in_time(async |connection| {
            let answer = script.invoke_async(connection).await;
            answer.inspect_err(|error| {
                if is_lost(error) {
                    retry = Retry::Useful;
                }
            })
        });
        answer.await.map_err(|error| (error, retry))
    }

    /// Waits for an answer, but not for long. If there is none, or this is not the server to ask, the calls after this one
    /// have another connection.
    async fn in_time<T>(
        &self,
        work: impl AsyncFnOnce(&mut ConnectionManager) -> Result<T, RedisError>,
    ) -> Result<T> {
        let (mut connection, number) = {
            let shared = self.shared();
            (shared.connection.clone(), shared.number)
        };
        let limit = self.options.connect_timeout + self.options.response_timeout;
        let answer = match tokio::time::timeout(limit, work(&mut connection)).await {
            Ok(Err(error)) if error.is_timeout() || is_deposed(&error) => Err(from_redis(error)),
            Ok(answer) => return answer.map_err(from_redis),
            Err(_) => Err(Error::unavailable(
                BACKEND,
                format!("no answer within {limit:?}"),
            )),
        };
        let mut shared = self.shared();
        if shared.number == number
            && let Ok(another) = open(&self.client, &self.options)
        {
            *shared = Shared {
                connection: another,
                number: number + 1,
            };
        }
        answer
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, which is made with the first call on it.
fn open(client: &Client, options: &RedisOptions) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(options.connect_timeout))
        .set_response_timeout(Some(options.response_timeout))
        // a call waits for these and no longer; the next call begins anew
        .set_number_of_retries(2)
        .set_min_delay(Duration::from_millis(20));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Whether what failed may succeed if it is tried again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The connection was lost: there may be another one.
    Useful,
    /// The server refuses it, or is too slow.
    Useless,
}

impl fmt::Debug for Redis {
    // without the address, which may hold a password
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("version", &self.version)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Whether the connection is gone, and not only slow.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout()
}

/// Whether the server is a replica by now, which may only read. Redis 6.2 says so in the middle of a script's error.
fn is_deposed(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::ReadOnly)
        || error.to_string().contains("READONLY")
}

/// Whether nothing at all is allowed, for want of a login.
fn is_login(error: &Error) -> bool {
    !error.message().contains("NOPERM")
}

/// The name and version that the answer to INFO tells, if Optio can work with it.
fn new_enough(info: &str) -> Result<String> {
    let (name, version, minimum) = match field(info, "valkey_version") {
        Some(version) => ("valkey", version, (7, 2)),
        None => (
            "redis",
            field(info, "redis_version").unwrap_or_default(),
            (6, 2),
        ),
    };
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            BACKEND,
            "the server does not tell its version: redis 6.2 or newer, or valkey 7.2 or newer is needed",
        ));
    };
    if (major, minor) < minimum {
        return Err(Error::new(
            ErrorKind::Unsupported,
            BACKEND,
            format!(
                "the server is {name} {version}: redis 6.2 or newer, or valkey 7.2 or newer is needed"
            ),
        ));
    }
    Ok(format!("{name} {version}"))
}

/// The value of a field in the answer to INFO.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(key, value)| (key == name).then_some(value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_refused_and_told_why() {
        let verdict = |info: &str| match new_enough(info) {
            Ok(version) => version,
            Err(error) => error.to_string(),
        };
        let rows = [
            "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone",
            "redis_version:6.2.0",
            "redis_version:10.0.1",
            "redis_version:6.0.16",
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.2.9",
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.1.0",
            "something else",
        ];
        assert_eq!(
            rows.map(verdict),
            [
                "redis 7.0.15",
                "redis 6.2.0",
                "redis 10.0.1",
                "redis: the server is redis 6.0.16: redis 6.2 or newer, or valkey 7.2 or newer is needed",
                "valkey 7.2.9",
                "redis: the server is valkey 7.1.0: redis 6.2 or newer, or valkey 7.2 or newer is needed",
                "redis: the server does not tell its version: redis 6.2 or newer, or valkey 7.2 or newer is needed",
            ]
        );
    }
}
