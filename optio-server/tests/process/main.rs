//! The program `optio serve` with everything real: processes, git, SQLite, signals. What only shows when a process dies,
//! freezes, is told to stop, or finds its machine in a bad state.
//!
//! Tests wait for conditions that only another process can tell; none waits for time to pass in order to be right.

#[cfg(test)]
mod room;
#[cfg(test)]
mod server;
#[cfg(test)]
mod git;
#[cfg(test)]
mod books;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod power;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod git_killed;
#[cfg(test)]
mod clock_set;
