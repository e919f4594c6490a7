//! The queue and the event bus of Optio on Redis 6.2 or newer, or Valkey 7.2 or newer: many replicas share the work.
//!
//! - [`Redis`], a server that was found to be new enough, and how long to wait for it.
//! - [`RedisQueue`]; each of its calls is an atomic step, and calls that come at once share a script.
//! - [`RedisEventBus`]; hints by publish and subscribe.
//!
//! Redis holds nothing that cannot be lost: the queue is rebuilt from the store. While it is out of reach, calls fail
//! soon with [`Unavailable`](optio_core::error::ErrorKind::Unavailable) and connections come back by themselves.
//!
//! # Keys
//! All keys begin with the prefix as a hash tag, `{optio}:`, so all of them lie in one slot and the scripts, which touch
//! many of them in one step, are allowed on a server in cluster mode. Limits are counted over all repositories in the
//! same step as a claim, so spreading the keys over slots is not possible. One connection goes to one server: redirections
//! to other nodes of a cluster are not followed; give the address of the node that owns the slot, or of a proxy.

mod connect;
mod error;
mod event_bus;
mod inspect;
mod listener;
mod queue;

pub use self::{
    connect::{Redis, RedisOptions},
    event_bus::RedisEventBus,
    inspect::Examination,
    queue::RedisQueue,
};
