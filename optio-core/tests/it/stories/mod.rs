//! The engine, told in stories on paused time: hours pass at once, and nothing sleeps.

mod accounts;
mod capacity;
mod clock_jump;
mod endings;
mod feedback;
mod messages;
mod money;
mod periodic;
mod replay;
mod replicas;
mod secrets;
mod shares;
mod world;
