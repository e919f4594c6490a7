//! What was said about a pull request and its commits: reviews, comments, and the verdicts of checks.

use optio_core::{
    Error, Result, Timestamp,
    pull_request::{CommitId, PrNumber, Review, ReviewComment, ReviewVerdict},
};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{NAME, Records, moment, stored, unreadable, unwritten};

/// A review to be recorded.
#[derive(Debug)]
pub(in super::super) struct NewReview<'a> {
    pub(in super::super) reviewer: &'a str,
    pub(in super::super) verdict: ReviewVerdict,
    pub(in super::super) commit: &'a CommitId,
    pub(in super::super) body: &'a str,
    pub(in super::super) comments: &'a [ReviewComment],
    pub(in super::super) at: Timestamp,
}

/// Whether something was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum News {
    /// It is recorded now.
    Fresh,
    /// It was known.
    Known,
}

/// How a command judged a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct CheckRecord {
    /// As in [`optio_core::pull_request::FailedCheck`], or `success`.
    pub(in super::super) conclusion: String,
    /// How it ended, in words.
    pub(in super::super) exit: String,
    /// The last bytes of its output.
    pub(in super::super) log_tail: String,
    pub(in super::super) command: String,
}

impl Records {
    /// Records a review, unless it says just what the same reviewer's last one said.
    pub(in super::super) async fn review(
        &self,
        repository: &str,
        number: PrNumber,
        new: NewReview<'_>,
    ) -> Result<News> {
        let comments = serde_json::to_string(new.comments)
            .map_err(|error| Error::invalid(NAME, error.to_string()))?;
        let written = sqlx::query(
            "INSERT INTO reviews (repository, number, reviewer, verdict, commit_id, body, comments, at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE (?4, ?5, ?6, ?7) IS NOT (
                SELECT verdict, commit_id, body, comments FROM reviews
                WHERE repository = ?1 AND number = ?2 AND reviewer = ?3 ORDER BY id DESC LIMIT 1)",
        )
        .bind(repository)
        .bind(stored(number))
        .bind(new.reviewer)
        .bind(verdict_name(new.verdict))
        .bind(new.commit.as_str())
        .bind(new.body)
        .bind(comments)
        .bind(new.at.as_microsecond())
        .execute(&self.writer)
        .await
        .map_err(unwritten)?;
        Ok(if written.rows_affected() > 0 {
            News::Fresh
        } else {
            News::Known
        })
    }

    /// All reviews of a pull request, the first one first.
    pub(in super::super) async fn reviews(
        &self,
        repository: &str,
        number: PrNumber,
    ) -> Result<Vec<Review>> {
        sqlx::query("SELECT * FROM reviews WHERE repository = ? AND number = ? ORDER BY id")
            .bind(repository)
            .bind(stored(number))
            .fetch_all(&self.readers)
            .await
            .map_err(unreadable)?
            .iter()
            .map(review)
            .collect()
    }

    /// Records a comment in the place of an earlier one with the same marker.
    pub(in super::super) async fn comment(
        &self,
        repository: &str,
        number: PrNumber,
        (marker, body): (&str, &str),
        at: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO comments VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET body = excluded.body, at = excluded.at",
        )
        .bind(repository)
        .bind(stored(number))
        .bind(marker)
        .bind(body)
        .bind(at.as_microsecond())
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(unwritten)
    }

    /// The comments on a pull request, the one last written last.
    pub(in super::super) async fn comments(
        &self,
        repository: &str,
        number: PrNumber,
    ) -> Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT body FROM comments WHERE repository = ? AND number = ? ORDER BY at, marker",
        )
        .bind(repository)
        .bind(stored(number))
        .fetch_all(&self.readers)
        .await
        .map_err(unreadable)
    }

    /// How this command judged a commit.
    pub(in super::super) async fn check(
        &self,
        repository: &str,
        commit: &CommitId,
        command: &str,
    ) -> Result<Option<CheckRecord>> {
        sqlx::query("SELECT * FROM checks WHERE repository = ? AND commit_id = ? AND command = ?")
            .bind(repository)
            .bind(commit.as_str())
            .bind(command)
            .fetch_optional(&self.readers)
            .await
            .map_err(unreadable)?
            .as_ref()
            .map(check)
            .transpose()
    }

    /// How a commit was judged last, by whatever command.
    pub(in super::super) async fn last_check(
        &self,
        repository: &str,
        commit: &CommitId,
    ) -> Result<Option<CheckRecord>> {
        sqlx::query(
            "SELECT * FROM checks WHERE repository = ? AND commit_id = ? ORDER BY ended_at DESC LIMIT 1",
        )
        .bind(repository)
        .bind(commit.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(unreadable)?
        .as_ref()
        .map(check)
        .transpose()
    }

    /// Records how a command judged a commit. The first word counts.
    pub(in super::super) async fn judged(
        &self,
        repository: &str,
        commit: &CommitId,
        record: &CheckRecord,
        at: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT OR IGNORE INTO checks (repository, commit_id, command, conclusion, exit, log_tail, ended_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(repository)
        .bind(commit.as_str())
        .bind(&record.command)
        .bind(&record.conclusion)
        .bind(&record.exit)
        .bind(&record.log_tail)
        .bind(at.as_microsecond())
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(unwritten)
    }
}

fn verdict_name(verdict: ReviewVerdict) -> &'static str {
    match verdict {
        ReviewVerdict::Approve => "approve",
        ReviewVerdict::RequestChanges => "request_changes",
        ReviewVerdict::Comment => "comment",
    }
}

fn review(row: &SqliteRow) -> Result<Review> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unreadable);
    let id: i64 = row.try_get("id").map_err(unreadable)?;
    let verdict = match text("verdict")?.as_str() {
        "approve" => ReviewVerdict::Approve,
        "request_changes" => ReviewVerdict::RequestChanges,
        "comment" => ReviewVerdict::Comment,
        other => {
            let message = format!("a review has the unknown verdict {other:?}");
            return Err(Error::corrupt(NAME, message));
        }
    };
    Ok(Review {
        id: id.to_string(),
        reviewer: text("reviewer")?,
        verdict,
        commit: CommitId::new(text("commit_id")?),
        body: text("body")?,
        comments: serde_json::from_str(&text("comments")?).map_err(|error| {
            Error::corrupt(NAME, "the comments of a review cannot be read").caused_by(error)
        })?,
        at: moment(row.try_get("at").map_err(unreadable)?)?,
    })
}

fn check(row: &SqliteRow) -> Result<CheckRecord> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unreadable);
    Ok(CheckRecord {
        conclusion: text("conclusion")?,
        exit: text("exit")?,
        log_tail: text("log_tail")?,
        command: text("command")?,
    })
}
