//! One TLS configuration for all connections of this process, read and parsed once for what was configured.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::{CertificateError, ClientConfig, ConfigBuilder, Error, RootCertStore, WantsVerifier};

use crate::crypto;
use crate::guardian::protocol::TlsMaterial;

static LAST: Mutex<Option<(TlsMaterial, Arc<ClientConfig>)>> = Mutex::new(None);

/// What a reload has put in the place of the material that was configured at the start.
static RENEWED: Mutex<Option<TlsMaterial>> = Mutex::new(None);

/// From here on every connection of this process is made with this material.
pub fn renew(material: TlsMaterial) {
    *RENEWED.lock().unwrap_or_else(PoisonError::into_inner) = Some(material);
}

/// What counts where this was configured.
pub fn current(configured: Option<&TlsMaterial>) -> Option<TlsMaterial> {
    let configured = configured?;
    let renewed = RENEWED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Some(renewed.unwrap_or_else(|| configured.clone()))
}

/// What a handshake needs.
///
/// # Errors
/// What of `zookeeper.tls` cannot be used, in one sentence.
pub fn config(material: &TlsMaterial) -> Result<Arc<ClientConfig>, String> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, config)) = last.as_ref().filter(|(made_of, _)| made_of == material) {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(parse(material)?);
    *last = Some((material.clone(), Arc::clone(&config)));
    Ok(config)
}

fn parse(material: &TlsMaterial) -> Result<ClientConfig, String> {
    let ca = material.ca.as_deref().ok_or("zookeeper.tls.ca is needed to know the servers by")?;
    let revoked: Vec<_> = CertificateRevocationListDer::pem_slice_iter(ca.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("zookeeper.tls.ca: {error}"))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), crypto::provider())
        .with_crls(revoked)
        .build()
        .map_err(|error| format!("zookeeper.tls.ca: {error}"))?;
    let builder = builder()?.with_webpki_verifier(verifier);
    match (&material.cert, &material.key) {
        (Some(cert), Some(key)) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(cert.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|error| format!("zookeeper.tls.cert: {error}"))?;
            let key =
                PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("zookeeper.tls.key: {error}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("zookeeper.tls.cert and key do not belong together: {error}"))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("zookeeper.tls.cert and zookeeper.tls.key belong together".to_owned()),
    }
}

fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("zookeeper.tls.ca: {error}"))?;
        roots.add(certificate).map_err(|error| format!("zookeeper.tls.ca: {error}"))?;
    }
    if roots.is_empty() { Err("zookeeper.tls.ca holds no certificate".to_owned()) } else { Ok(roots) }
}

/// The provider is named, so that nothing depends on what the process has chosen before.
fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be used here: {error}"))
}

/// Knows nobody: to find out whether a server speaks TLS at all.
pub fn stranger() -> Option<Arc<ClientConfig>> {
    Some(Arc::new(builder().ok()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}

/// What a failed handshake means, in one clause.
pub fn problem(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(tls) = inner else { return error.to_string() };
    match tls {
        // In rustls's words the time of the attempt would be named, and the sentence be another one every second.
        Error::InvalidCertificate(CertificateError::Expired) => "the server's certificate has expired".to_owned(),
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("the server's certificate has expired at {}; renew it, or set this host's clock", date(*not_after))
        }
        Error::InvalidCertificate(CertificateError::NotValidYet) => {
            "the server's certificate is not valid yet".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!("the server's certificate is not valid before {}; is this host's clock right?", date(*not_before))
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "the server's certificate is for another name ({tls}); name the server in zookeeper.servers as its certificate does"
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("the server's certificate is signed by somebody else than zookeeper.tls.ca says ({tls})")
        }
        Error::AlertReceived(_) => format!(
            "the server refused the handshake ({tls}); does it want a client certificate (zookeeper.tls.cert and key), or another one?"
        ),
        _ => tls.to_string(),
    }
}

fn date(time: UnixTime) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_parsed_once_and_anew_when_it_changes() {
        let material = |name: &str| {
            let certificate = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            TlsMaterial { ca: Some(certificate.cert.pem()), cert: None, key: None }
        };
        let (one, other) = (material("a"), material("b"));
        let first = config(&one).unwrap();
        assert!(Arc::ptr_eq(&first, &config(&one).unwrap()));
        let second = config(&other).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &config(&other).unwrap()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let material = |ca: Option<&str>, cert: Option<&str>| TlsMaterial {
            ca: ca.map(str::to_owned),
            cert: cert.map(str::to_owned),
            key: None,
        };
        let pem = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
        for (material, words) in [
            (material(None, None), "zookeeper.tls.ca is needed"),
            (material(Some("nothing"), None), "holds no certificate"),
            (material(Some(&pem), Some(&pem)), "belong together"),
        ] {
            let problem = config(&material).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
