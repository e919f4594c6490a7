//! The embedded default of Optio: everything on one machine, with nothing installed but git and an agent.

pub mod store;
pub mod runtime;
pub mod forge;

pub use self::forge::{LocalForge, LocalForgeOptions};
pub use self::store::SqliteStore;
