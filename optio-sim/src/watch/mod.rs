//! Watching: decorators next to the ports in memory that see everything that truly happens, and hold it against the
//! invariants at once.

mod accounts;
mod law;
mod logs;
mod ledger;
mod work;
mod store;
mod runtime;
mod forge;

pub use self::ledger::{Trail, Violation};
pub(crate) use self::{
    forge::WatchedForge,
    ledger::{Facts, Ledger},
    runtime::WatchedRuntime,
    store::WatchedStore,
};
