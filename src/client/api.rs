//! The cluster as its members' APIs show it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_rustls::rustls;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

use crate::client::{Access, Error, Sight};
use crate::config::Secret;
use crate::status::timeline::Recorded;
use crate::status::{ClusterView, ContactWord, HistoryEntry, ServerStatus, StatusWord};

/// For one URL, everything included.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same where the answer comes from a disk.
const FROM_DISK: Duration = Duration::from_secs(6);

/// No stream lives longer.
const STREAM: Duration = Duration::from_secs(330);

/// Bytes: a node's part of a report, and more.
const LONGEST_PAGE: u64 = 64 * 1024 * 1024;

/// How far an answer can be relied on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    /// Of a member that is out of contact.
    Not,
    Fairly,
    Quite,
}

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

    /// The first view that names an active node; else that of the first member that is in contact, and so would know of one;
    /// else the first.
    pub fn cluster(&self) -> Result<Sight, Error> {
        let mut blind = Vec::new();
        let (view, knows) = self.first(|url| {
            let view: ClusterView = self.get(url, "/cluster", None)?;
            let why = if view.active.is_some() { None } else { self.blind(url) };
            let knows = why.is_none();
            blind.extend(why);
            let sure = if view.active.is_some() { Sure::Quite } else { Sure::Fairly };
            Ok(((view, knows), if knows { sure } else { Sure::Not }))
        })?;
        Ok(Sight { view, blind: (!knows).then(|| blind.join("; ")) })
    }

    /// With what the members at the other URLs say of themselves. Of a cluster's other members nothing is taken that it does not
    /// show itself.
    pub fn with_the_others(&self, mut sight: Sight) -> Sight {
        for url in self.urls.iter().filter(|_| self.urls.len() > 1) {
            let Ok(other) = self.get::<ClusterView>(url, "/cluster", None) else { continue };
            if other.cluster != sight.view.cluster || other.members.len() != 1 {
                continue;
            }
            let known = |node: &str| sight.view.members.iter().any(|member| member.row.node == node);
            let fresh: Vec<_> = other.members.into_iter().filter(|member| !known(&member.row.node)).collect();
            sight.view.members.extend(fresh);
        }
        sight.view.members.sort_by(|a, b| a.row.node.cmp(&b.row.node));
        sight
    }

    /// Why the member at this URL cannot know who is active.
    fn blind(&self, url: &str) -> Option<String> {
        // A member whose status is not understood is taken at its word.
        let server: ServerStatus = self.status(url).ok()?;
        let cut_off = server.zookeeper.state.is_some_and(|state| state != ContactWord::Connected);
        (cut_off || server.status == StatusWord::Disconnected)
            .then(|| format!("{} has no contact ({})", server.node, server.reason.trim_end_matches('.')))
    }

    /// The first history.
    pub fn history(&self) -> Result<Vec<HistoryEntry>, Error> {
        self.first(|url| Ok((self.get(url, "/history", None)?, Sure::Quite)))
    }

    /// The answer of one member; else why there is none.
    pub(super) fn ask<T: DeserializeOwned>(&self, url: &str, path: &str) -> Result<T, String> {
        self.get(url, path, None).map_err(|error| explain(&error))
    }

    /// A page as it is, whatever its code says: that is a load balancer's. Else why there is none.
    pub fn page(&self, url: &str, path: &str) -> Result<String, String> {
        let request = self.request(url, path).config().timeout_global(Some(FROM_DISK)).http_status_as_error(false);
        let mut response = request.build().call().map_err(|error| explain(&error))?;
        let text = response.body_mut().with_config().limit(LONGEST_PAGE).read_to_string();
        match response.status().as_u16() {
            200 | 503 => text.map_err(|error| explain(&error)),
            401 | 403 => Err(explain(&ureq::Error::StatusCode(401))),
            code => Err(format!("it answers {code}; is it of an older version?")),
        }
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

    /// The first answer that is quite sure, else the first of the surest.
    fn first<T>(&self, mut ask: impl FnMut(&str) -> Result<(T, Sure), ureq::Error>) -> Result<T, Error> {
        if self.urls.is_empty() {
            return Err(Error::NoApi);
        }
        let mut best: Option<(T, Sure)> = None;
        let mut problems = Vec::new();
        for url in &self.urls {
            match ask(url) {
                Ok((answer, Sure::Quite)) => return Ok(answer),
                Ok((answer, sure)) if best.as_ref().is_none_or(|(_, before)| sure > *before) => {
                    best = Some((answer, sure));
                }
                Ok(_) => {}
                Err(error) => problems.push(format!("{url}: {}", explain(&error))),
            }
        }
        best.map(|(answer, _)| answer).ok_or(Error::NoAnswer(problems))
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
        let mut request = self.request(url, path);
        if patience.is_some() {
            request = request.config().timeout_global(patience).build();
        }
        request.call()?.body_mut().read_json()
    }

    /// The status of the member itself, whose code is a load balancer's.
    fn status(&self, url: &str) -> Result<ServerStatus, ureq::Error> {
        let request = self.request(url, "/server_status").config().http_status_as_error(false).build();
        request.call()?.body_mut().read_json()
    }

    /// A request whose answer goes on and on. `after`: the id of the last event that is known.
    pub(super) fn streaming(&self, url: &str, path: &str, after: Option<&str>) -> RequestBuilder<WithoutBody> {
        let mut request = self.request(url, path).header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let config = request.config().timeout_global(Some(STREAM)).timeout_connect(Some(PATIENCE));
        config.timeout_recv_response(Some(FROM_DISK)).build()
    }

    fn request(&self, url: &str, path: &str) -> RequestBuilder<WithoutBody> {
        let request = self.agent.get(format!("{}{path}", url.trim_end_matches('/')));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.reveal())),
            None => request,
        }
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
