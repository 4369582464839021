//! Connections, and what each may cost: time, memory, places.
//!
//! A place is taken before a connection is accepted, so further ones wait in the kernel's queue. Whoever is silent for
//! ten seconds loses its place; while fewer than a quarter of the places are free, after one second. So a thousand
//! idle connections delay a health check by a second or so and cannot keep it out.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use futures::StreamExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::api::endpoints::{Access, Asked, ENDPOINTS, Endpoint};
use crate::api::{Shared, answer};

/// Connections at most.
const CONNECTIONS: usize = 1024;

/// Descriptors that the API leaves to the rest of the process, whatever its limit.
const DESCRIPTORS_FOR_OTHERS: usize = 128;

/// For a header, a body, a TLS handshake, or for a client to take what was sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for headers while places are scarce.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that a request's body may have.
const BODY: usize = 64 * 1024;

/// Bytes of header that a request may have; the least that hyper permits is 8 KiB.
const HEADER: usize = 16 * 1024;

/// Accepts until `stopped` says so.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let app = router(shared.clone());
    let places = places();
    let free = Arc::new(Semaphore::new(places));
    let accept = async {
        loop {
            let Ok(place) = free.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Either the one connection is broken, or descriptors are short and come back with time.
                    tracing::debug!(%error, "connection not accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let patience = if free.available_permits() < places / 4 { SHORT_PATIENCE } else { PATIENCE };
            let (app, shared) = (app.clone(), shared.clone());
            tokio::spawn(async move {
                connection(stream, patience, app, &shared).await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => (),
        _ = stopped.wait_for(|stopped| *stopped) => (),
    }
}

/// As many connections as the process's limit of descriptors allows without starving the supervisor.
fn places() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(DESCRIPTORS_FOR_OTHERS).clamp(16, CONNECTIONS)
}

async fn connection(stream: TcpStream, patience: Duration, app: Router, shared: &Shared) {
    // The kernel cuts a client that does not take its answer, so that nothing in this process has to watch for it.
    let millis = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) =
        setsockopt(&stream, TcpUserTimeout, &millis).map_err(Into::into).and_then(|()| stream.set_nodelay(true))
    {
        tracing::debug!(%error, "socket options refused");
    }
    let tls = shared.tls.load_full();
    match tls {
        None => talk(stream, patience, app).await,
        Some(tls) => match timeout(patience, tls.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => talk(stream, patience, app).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

pub(super) async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, patience: Duration, app: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEADER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

/// The router, made of the table.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let handler = move |State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap| async move {
            respond(endpoint, &shared, &uri, &headers)
        };
        let methods = match endpoint.access {
            // HAProxy's `option httpchk` asks with OPTIONS unless it is told otherwise; Patroni answers it, too.
            Access::HealthCheck => get(handler).options(handler),
            Access::Read => get(handler),
        };
        router = router.route(endpoint.path, methods);
    }
    router
        .fallback(async || answer::failure(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            answer::failure(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .layer(middleware::from_fn(bounded))
        .with_state(shared)
}

fn respond(endpoint: &Endpoint, shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    if endpoint.access == Access::Read
        && let Err(refusal) = shared.tokens.load().may_read(headers)
    {
        return refusal;
    }
    (endpoint.answer)(&Asked { standing: shared.standing(), shared, uri, headers })
}

/// Takes the whole body, within its limits, before anything else happens.
async fn bounded(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY as u64) {
        return answer::last_failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB");
    }
    let received = if body.is_end_stream() { Ok(Ok(Bytes::new())) } else { timeout(PATIENCE, receive(body)).await };
    match received {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(refusal)) => refusal,
        Err(_) => answer::last_failure(StatusCode::REQUEST_TIMEOUT, "the body took more than 10 s"),
    }
}

/// The body's bytes.
async fn receive(body: Body) -> Result<Bytes, Response> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) if bytes.len() + chunk.len() <= BODY => bytes.extend_from_slice(&chunk),
            Ok(_) => return Err(answer::last_failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB")),
            Err(_) => return Err(answer::last_failure(StatusCode::BAD_REQUEST, "the body is broken")),
        }
    }
    Ok(bytes.into())
}
