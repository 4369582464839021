//! The cluster as its members' APIs show it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_rustls::rustls;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::client::{Access, Error};
use crate::config::Secret;
use crate::status::timeline::Recorded;
use crate::status::{ClusterView, HistoryEntry};

/// For one URL, everything included.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same where the answer comes from a disk.
const FROM_DISK: Duration = Duration::from_secs(6);

#[derive(Debug)]
pub struct Api {
    urls: Vec<String>,
    token: Option<Secret>,
    agent: Agent,
}

impl Api {
    pub fn new(urls: Vec<String>, access: Access) -> Self {
        let agent = Agent::config_builder()
            .tls_config(tls(&access))
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            // Members are neighbours, and a kept connection may be one that the member has cut.
            .proxy(None)
            .max_idle_connections(0)
            .build()
            .new_agent();
        Self { urls, token: access.token, agent }
    }

    /// The first view that names an active node, else the first view: a member out of contact knows of none.
    pub fn cluster(&self) -> Result<ClusterView, Error> {
        self.first("/cluster", |view: &ClusterView| view.active.is_some())
    }

    /// The first history.
    pub fn history(&self) -> Result<Vec<HistoryEntry>, Error> {
        self.first("/history", |_| true)
    }

    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// What the member at this URL has recorded of an epoch's beginning; else why it cannot say.
    pub fn recorded(&self, url: &str, epoch: u64) -> Result<Recorded, String> {
        let patient = Some(FROM_DISK);
        self.get(url, &format!("/history/{epoch}"), patient).map_err(|error| match error {
            ureq::Error::StatusCode(503) => "it has no recording, or its disk does not answer".to_owned(),
            ureq::Error::StatusCode(404) => "it has no such epoch, or is of an older version".to_owned(),
            error => explain(&error),
        })
    }

    fn first<T: DeserializeOwned>(&self, path: &str, satisfies: impl Fn(&T) -> bool) -> Result<T, Error> {
        if self.urls.is_empty() {
            return Err(Error::NoApi);
        }
        let mut second_choice = None;
        let mut problems = Vec::new();
        for url in &self.urls {
            match self.get(url, path, None) {
                Ok(answer) if satisfies(&answer) => return Ok(answer),
                Ok(answer) => second_choice = second_choice.or(Some(answer)),
                Err(error) => problems.push(format!("{url}: {}", explain(&error))),
            }
        }
        second_choice.ok_or(Error::NoAnswer(problems))
    }

    /// Sends something that changes something. A refusal is an answer.
    pub(super) fn changing(
        &self,
        method: &str,
        uri: &str,
        by: &str,
        patience: Duration,
        body: &serde_json::Value,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(uri).header("x-primacy-account", by);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        let agent = self.agent.clone();
        let json = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = request.header("content-type", "application/json").body(json)?;
        let request = agent.configure_request(request).timeout_global(Some(patience)).http_status_as_error(false);
        agent.run(request.allow_non_standard_methods(false).build())
    }

    fn get<T: DeserializeOwned>(&self, url: &str, path: &str, patience: Option<Duration>) -> Result<T, ureq::Error> {
        let mut request = self.agent.get(format!("{}{path}", url.trim_end_matches('/')));
        if patience.is_some() {
            request = request.config().timeout_global(patience).build();
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        request.call()?.body_mut().read_json()
    }
}

/// What failed, with what can be done on the command line about it.
pub(super) fn explain(error: &ureq::Error) -> String {
    let remedy = match error {
        ureq::Error::StatusCode(401) => "; it wants a token: name its file with --token-file or PRIMACY_TOKEN_FILE",
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => TLS_REMEDY,
        ureq::Error::Io(error)
            if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) =>
        {
            TLS_REMEDY
        }
        _ => "",
    };
    format!("{error}{remedy}")
}

const TLS_REMEDY: &str = "; name the authority of its certificate with --tls-ca, and a certificate that it takes with --tls-cert and --tls-key";

fn tls(access: &Access) -> TlsConfig {
    let mut tls = TlsConfig::builder();
    if let Some(ca) = &access.ca {
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates(ca)));
    }
    if let Some((chain, key)) = &access.identity
        && let Ok(key) = PrivateKey::from_pem(key.reveal().as_bytes())
    {
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(chain), key)));
    }
    tls.build()
}

/// All of them; what else the text holds is passed over.
fn certificates(pem: &str) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem.as_bytes()).flatten();
    items.filter_map(|item| if let PemItem::Certificate(it) = item { Some(it) } else { None }).collect()
}
