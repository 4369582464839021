//! The program's choice of a cryptography provider for TLS.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Two of rustls's providers are linked in (the HTTP client brings its own), and rustls panics where none is named and the
/// process has chosen none: so every configuration names this one.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
