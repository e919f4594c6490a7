//! Messages from people to the agent of a task.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The longest message that is taken, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// A message that no finished run has taken up yet. It stays with its task until one has: what was said to a run that
/// failed is said to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number among the messages of the task, from 1.
    pub number: u32,
    /// What it says.
    pub text: String,
    /// When it came.
    pub at: Timestamp,
}
