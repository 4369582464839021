//! The process's choice of a cryptography provider for TLS.

/// Two of rustls's providers are linked in (the HTTP client brings its own), and rustls panics unless the process has
/// chosen one. A choice made earlier stays.
pub fn choose_provider() {
    let _ = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default();
}
