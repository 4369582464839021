//! HTTPS for the API: certificate, key and, where clients must show one, the authority of their certificates.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::api::Error;
use crate::config::ApiTls;

/// Reads the files and makes an acceptor of them. With `client_ca` every client must show a certificate of it.
///
/// # Errors
/// A file that cannot be read, holds no PEM of its kind, or does not fit the others.
pub fn acceptor(paths: &ApiTls) -> Result<TlsAcceptor, Error> {
    let chain = certificates(&paths.cert)?;
    let key = PrivateKeyDer::from_pem_file(&paths.key).map_err(|error| problem(&paths.key, &error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(&paths.cert, &error))?;
    let builder = match &paths.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|error| problem(ca, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| problem(ca, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| problem(&paths.cert, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| problem(path, &error))?;
    if certificates.is_empty() {
        return Err(Error::Tls { path: path.into(), reason: "there is no certificate in it".into() });
    }
    Ok(certificates)
}

fn problem(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Tls { path: path.into(), reason: error.to_string() }
}
