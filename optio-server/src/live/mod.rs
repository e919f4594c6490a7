//! What is streamed to clients over WebSockets.

pub mod logs;
