//! The server and its command line, from outside: over HTTP, over WebSockets, and as a program.

mod world;
mod access;
mod api;
mod command_line;
mod config;
mod live;
mod webhooks;
