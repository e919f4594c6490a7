//! The server of a test: the one of `OPTIO_TEST_REDIS_URL`, or a private one on a socket in a temporary folder, which
//! ends with the test. Tests that disturb their server always have a private one.

#[path = "../../../xtask/src/servers/redis.rs"]
mod process;

use std::{sync::Arc, time::Duration};

use optio_core::{Clock, SystemClock, conformance::Subject, event_bus::EventBus, queue::Queue};
use optio_queue_redis::{Redis, RedisEventBus, RedisOptions, RedisQueue};
use tempfile::TempDir;

/// A server, and a prefix on it that nobody else uses.
pub(crate) struct TestServer {
    url: String,
    prefix: String,
    private: Option<Private>,
}

impl TestServer {
    /// One that others may use as well.
    pub(crate) fn shared() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is how the test command tells its server"
        )]
        let url = std::env::var("OPTIO_TEST_REDIS_URL").ok();
        match url.filter(|url| !url.is_empty()) {
            Some(url) => Self {
                url,
                prefix: fresh_prefix(),
                private: None,
            },
            None => Self::private(),
        }
    }

    /// One that this test may kill and empty.
    pub(crate) fn private() -> Self {
        let mut private = Private {
            folder: tempfile::tempdir().expect("a temporary folder"),
            server: None,
        };
        Self {
            url: private.start(),
            prefix: fresh_prefix(),
            private: Some(private),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) async fn connect(&self) -> Redis {
        let options = RedisOptions::default().with_prefix(&self.prefix);
        let redis = Redis::connect(&self.url, options).await;
        redis.expect("the server of the test")
    }

    pub(crate) async fn queue(&self) -> RedisQueue {
        RedisQueue::new(&self.connect().await, Arc::new(SystemClock))
    }

    pub(crate) async fn bus(&self) -> RedisEventBus {
        RedisEventBus::new(&self.connect().await)
    }

    /// A connection that does what the test says, beside those under test.
    pub(crate) async fn admin(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).expect("the address");
        let connection = client.get_multiplexed_async_connection().await;
        connection.expect("the server of the test")
    }

    /// Deletes all keys of this test.
    pub(crate) async fn empty(&self, admin: &mut redis::aio::MultiplexedConnection) {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("{{{}}}:*", self.prefix))
            .query_async(admin)
            .await
            .expect("keys");
        for key in keys {
            let deleted = redis::cmd("DEL").arg(key).exec_async(admin).await;
            deleted.expect("delete");
        }
    }

    /// Ends the private server, without a word.
    pub(crate) fn kill(&mut self) {
        self.private_one().server = None;
    }

    /// Starts it again, empty.
    pub(crate) fn start(&mut self) {
        self.private_one().start();
    }

    /// The process of the private server.
    pub(crate) fn pid(&mut self) -> nix::unistd::Pid {
        let server = self
            .private_one()
            .server
            .as_ref()
            .expect("a server that runs");
        nix::unistd::Pid::from_raw(server.process().cast_signed())
    }

    fn private_one(&mut self) -> &mut Private {
        self.private.as_mut().expect("a private server")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if self.private.is_none()
            && let Ok(client) = redis::Client::open(self.url.as_str())
            && let Ok(mut connection) = client.get_connection()
        {
            let ours: Result<Vec<String>, _> = redis::cmd("KEYS")
                .arg(format!("{{{}}}:*", self.prefix))
                .query(&mut connection);
            for key in ours.unwrap_or_default() {
                let _ = redis::cmd("DEL").arg(key).exec(&mut connection);
            }
        }
    }
}

/// A server of our own; none while it is killed.
struct Private {
    folder: TempDir,
    server: Option<process::Redis>,
}

impl Private {
    fn start(&mut self) -> String {
        let server = process::Redis::start(&self.folder.path().join("redis"));
        let server = self.server.insert(server.expect("a private server"));
        server.url()
    }
}

fn fresh_prefix() -> String {
    format!("optio-test-{:016x}", SystemClock.random())
}

/// A queue for the suite of its contract.
pub(crate) async fn queue() -> Subject<dyn Queue> {
    let server = TestServer::shared();
    Subject::queue(server.queue().await).keeping(server)
}

/// A bus for the suite of its contract.
pub(crate) async fn bus() -> Subject<dyn EventBus> {
    let server = TestServer::shared();
    Subject::event_bus(server.bus().await).keeping(server)
}

/// Waits for what has to come; the time only bounds a failure.
pub(crate) async fn soon<T>(what: &str, come: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), come)
        .await
        .unwrap_or_else(|_| panic!("{what} should have come within 20 s"))
}
