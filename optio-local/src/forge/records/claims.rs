//! Which process checks a commit, where several share the forge.

use optio_core::{Result, Timestamp};

use super::{super::ci::Key, Records, unwritten};

impl Records {
    /// Takes or keeps the right to check a commit until `until`. False if another process has it at `now`.
    pub(in super::super) async fn claim_check(
        &self,
        key: &Key,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let claimed = sqlx::query(
            "INSERT INTO check_claims VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET owner = excluded.owner, until = excluded.until
             WHERE owner = excluded.owner OR until <= ?6",
        )
        .bind(&key.repository)
        .bind(key.commit.as_str())
        .bind(&key.command)
        .bind(owner)
        .bind(until.as_microsecond())
        .bind(now.as_microsecond())
        .execute(&self.writer)
        .await
        .map_err(unwritten)?;
        Ok(claimed.rows_affected() > 0)
    }

    /// Gives that right back.
    pub(in super::super) async fn release_check(&self, key: &Key, owner: &str) -> Result<()> {
        sqlx::query(
            "DELETE FROM check_claims WHERE repository = ? AND commit_id = ? AND command = ? AND owner = ?",
        )
        .bind(&key.repository)
        .bind(key.commit.as_str())
        .bind(&key.command)
        .bind(owner)
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(unwritten)
    }
}
