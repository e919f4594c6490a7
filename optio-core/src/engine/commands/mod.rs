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
