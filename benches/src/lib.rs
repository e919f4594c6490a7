//! What every bench needs: a table with the stored numbers beside today's, samples, and records to work on.
//!
//! A bench answers one question. It measures Optio, and in the same run a peer or the limit that the machine sets, since
//! only the ratio of the two says something on another machine or on a busy one.

mod report;
mod sample;
mod disk;
mod record;
mod jobs;
mod servers;
mod peers;
mod fleet;
mod feed;
mod typed;

pub use self::{
    disk::{Folder, resident_mib},
    feed::{Followed, followed, lines, megabytes, megabytes_per_second, spool},
    fleet::{Backends, Fleet, Size, Worked},
    jobs::{jobs, repo_ids},
    peers::{NodePeer, pgbench, redis_benchmark},
    record::{Follows, Template, completed, fresh_task, numbered_repo, template, transition},
    report::{Better, Report, Row, Target},
    sample::{Latencies, drained_by, median},
    servers::{Postgres, Redis, Syncs},
    typed::read_typed,
};
