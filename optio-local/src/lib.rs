//! The embedded default of Optio: everything on one machine, with nothing installed but git and an agent.

pub mod store;
pub mod runtime;

pub use self::store::SqliteStore;
