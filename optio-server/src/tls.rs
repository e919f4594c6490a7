//! Which library does TLS. reqwest brings none of its own and panics unless the process has chosen one.

/// Chooses ours. Calling it again changes nothing.
pub(crate) fn choose() {
    // somebody who embeds us may have chosen another, which is as good
    let _ = rustls::crypto::ring::default_provider().install_default();
}
