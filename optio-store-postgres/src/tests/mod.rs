//! The store against real servers.

mod server;
mod contract;
mod trouble;
mod sharing;
mod plans;
mod damage;
mod inspect;
mod logs;
mod migrations;
mod rolling;
