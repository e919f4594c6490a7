//! Whether the limits were kept at every commit: counted by the database itself, in the commits.

use crate::shared::Shared;

/// What the database watches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) global: u32,
    pub(crate) repo: u32,
}

/// What the database has seen.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The most runs that were live at once.
    pub(crate) most: i64,
    /// Each time there were more than there may be.
    pub(crate) broken: Vec<String>,
}

impl Limits {
    /// Has the database count live runs in each commit that changes how many there are. Such commits come one after the
    /// other from now on: otherwise two that do not see each other would both count too few.
    pub(crate) async fn watch(self, shared: &Shared) {
        let Self { global, repo } = self;
        shared
            .run(&format!(
                r"
                CREATE TABLE test_seen (at timestamptz DEFAULT clock_timestamp(), live bigint, repo uuid, here bigint);
                CREATE FUNCTION test_count() RETURNS trigger LANGUAGE plpgsql AS $$
                DECLARE whole bigint; here bigint;
                BEGIN
                    PERFORM pg_advisory_xact_lock(4242);
                    SELECT count(*), count(*) FILTER (WHERE repo = NEW.repo) INTO whole, here FROM runs WHERE live;
                    INSERT INTO test_seen (live, repo, here) VALUES (whole, NEW.repo, here);
                    RETURN NULL;
                END $$;
                CREATE CONSTRAINT TRIGGER test_count AFTER INSERT ON runs
                    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_count();
                CREATE VIEW test_broken AS SELECT * FROM test_seen WHERE live > {global} OR here > {repo};
                "
            ))
            .await;
    }

    /// What was seen so far.
    pub(crate) async fn seen(self, shared: &Shared) -> Kept {
        let mut connection = shared.connect().await;
        let most = sqlx::query_scalar("SELECT coalesce(max(live), 0) FROM test_seen")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let broken = sqlx::query_scalar(
            "SELECT format('%s: %s live, of %s %s', at, live, repo, here) FROM test_broken ORDER BY at",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        Kept { most, broken }
    }
}
