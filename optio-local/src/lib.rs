//! The embedded default of Optio: everything on one machine, with nothing installed but git and an agent.
//!
//! ```no_run
//! # use optio_core::{Limits, NewTask, Optio, agent::Agent, repo::RepoSettings};
//! # use optio_local::{LocalForge, LocalForgeOptions, LocalRuntime, LocalRuntimeOptions, SqliteStore};
//! # async fn embed(agent: impl Agent, shutdown: tokio_util::sync::CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//! let optio = Optio::builder()
//!     .store(SqliteStore::open("optio.db").await?)
//!     .runtime(LocalRuntime::open(LocalRuntimeOptions::new("workspaces")).await?)
//!     .forge(LocalForge::open(LocalForgeOptions::new("forge")).await?)
//!     .agent(agent)
//!     .limits(Limits::default().with_global(8))
//!     .build()?;
//! let repo = optio.add_repo("/srv/git/shop.git".parse()?, RepoSettings::default()).await?;
//! let task = optio.submit(NewTask::new(repo.id, "Fix the flaky login test")).await?;
//! optio.run(shutdown).await?; // all workers; or run one of them
//! # Ok(())
//! # }
//! ```

pub mod store;
pub mod runtime;
pub mod forge;

pub use self::{
    forge::{LocalForge, LocalForgeOptions},
    runtime::{LocalRuntime, LocalRuntimeOptions},
    store::SqliteStore,
};
