//! Reconciling, as pure functions: what was seen, and what follows from it. Nothing here remembers, waits or asks;
//! the same snapshot at the same moment always gives the same answer.

mod pool;
mod pull_request;
#[cfg(test)]
mod tests;

pub use self::{
    pool::{PoolAction, PoolSnapshot, SeenWorkspace, reconcile_pool},
    pull_request::{Action, Decision, Note, PrSnapshot, SeenReview, reconcile_pull_request},
};
