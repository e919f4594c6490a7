//! What people and programs ask of Optio: submit, cancel, retry, reorder; repositories, schedules, webhooks.
//!
//! Every command checks all of its input before it writes anything, and writes it in one commit.

mod control;
mod message;
mod repos;
mod review;
mod schedules;
mod submit;
mod webhooks;

pub(crate) use self::review::ReviewWanted;
pub use self::{repos::RepoDraft, schedules::NewSchedule, submit::NewTask};
use crate::error::Result;

/// What the queue was told of a change that is stored. If it cannot be reached it hears of it later, from the relay or the
/// health monitor: no reason to call the change a failure.
fn may_wait(told: Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the queue is told of a change later");
    }
}
