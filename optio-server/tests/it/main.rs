//! The server and its command line, from outside: over HTTP, over WebSockets, and as a program.

#[cfg(test)]
mod world;
#[cfg(test)]
mod access;
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod agents;
#[cfg(test)]
mod api;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod config;
#[cfg(test)]
mod live;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod webhooks;
