//! The ports as one replica sees them: each call goes through its [`Link`].

mod link;
mod store;
mod queue;
mod runtime;
mod forge;
mod bus;

pub(crate) use self::{
    bus::FaultyBus,
    forge::FaultyForge,
    link::{Link, Weather},
    queue::FaultyQueue,
    runtime::FaultyRuntime,
    store::FaultyStore,
};
