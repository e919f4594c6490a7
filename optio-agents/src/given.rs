//! What adapters were given that must not appear in any log.

use optio_core::{runtime::Command, secret::Secret};

/// An adapter's own credentials, its list of MCP servers, and what the command that starts its program has in its environment.
pub(crate) fn secrets<'a>(
    own: impl IntoIterator<Item = &'a Secret>,
    mcp_servers: Option<&'a Secret>,
    program: &'a Command,
) -> Vec<Secret> {
    own.into_iter()
        .chain(mcp_servers)
        .chain(program.secret_env.values())
        .cloned()
        .collect()
}
