//! The store against real servers.

mod server;
mod way;
mod contract;
mod trouble;
mod sharing;
mod plans;
mod damage;
mod fate;
mod inspect;
mod logs;
mod migrations;
mod rolling;
mod tls;
