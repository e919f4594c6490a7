//! Several processes of `optio serve` on one PostgreSQL and one Redis, all of them real and all of them mortal.
//!
//! Each test has servers of its own: it stops, starts and empties them.

#[cfg(test)]
#[path = "../process/room.rs"]
#[allow(dead_code, reason = "the tests of one process need more of it")]
mod room;
#[cfg(test)]
#[path = "../process/server.rs"]
#[allow(dead_code, reason = "the tests of one process need more of it")]
mod server;
#[cfg(test)]
#[path = "../process/git.rs"]
#[allow(dead_code, reason = "the tests of one process need more of it")]
mod git;
#[cfg(test)]
#[path = "../process/books.rs"]
#[allow(dead_code, reason = "the tests of one process need more of it")]
mod books;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod start;
#[cfg(test)]
mod maintenance;
