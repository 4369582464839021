//! Connections, and what each may cost: time, memory, places.
//!
//! Whoever is silent for ten seconds loses its place; while fewer than a quarter of the places are free, after one second.
//! Where a peer has its share of the [`places`], or all are taken, the oldest connection makes room for whoever comes. And no
//! connection lives for ever: after five minutes it ends with its next answer.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodFilter, get, on};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::api::asked::Asked;
use crate::api::changing::who::Peer;
use crate::api::changing::{self, CHANGES};
use crate::api::endpoints::{Access, Answer, ENDPOINTS, Endpoint};
use crate::api::events::{self, Connection, STREAMS};
use crate::api::health_checks::{self, Codes};
use crate::api::page::neighbours;
use crate::api::places::Places;
use crate::api::{Shared, answer, openapi, report};
use crate::clock;

/// Connections at most.
const CONNECTIONS: usize = 1024;

/// Descriptors that the API's places leave to the rest of the process, whatever its limit: with the streams of events.
const DESCRIPTORS_FOR_OTHERS: usize = 128 + STREAMS;

/// For a header, a body, a TLS handshake, or for a client to take what was sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for headers while places are scarce.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// From then on an answer is a connection's last one: what a client once showed at its beginning (a certificate) should not
/// count for ever, and load balancers meet the others again.
const LIFE: Duration = Duration::from_secs(300);

/// For what a connection that has to go is just doing.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes that a request's body may have.
const BODY: usize = 64 * 1024;

/// Bytes of header that a request may have; the least that hyper permits is 8 KiB.
const HEADER: usize = 16 * 1024;

/// Accepts until `stopped` says so.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let app = router(shared.clone());
    let places = Places::new(places());
    let accept = async {
        let mut short = false;
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => {
                    short = false;
                    accepted
                }
                Err(error) => {
                    // Either the one connection is broken, or descriptors are short and come back with time.
                    if !short && matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM)) {
                        tracing::warn!(%error, "the API cannot take connections; trying again");
                        short = true;
                    }
                    tracing::debug!(%error, "connection not accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let place = Arc::new(places.take(peer.ip()).await);
            let patience = if places.are_scarce() { SHORT_PATIENCE } else { PATIENCE };
            let (app, shared) = (app.clone(), shared.clone());
            tokio::spawn(async move {
                let mut tls_changes = shared.tls_changes.subscribe();
                let leave = async {
                    tokio::select! {
                        () = place.is_needed() => (),
                        // Whom the former certificates let in has to show itself to the present ones.
                        _ = tls_changes.changed() => (),
                        () = sleep(LIFE + PATIENCE) => (),
                    }
                };
                let seat = Connection { began: clock::now(), place: Some(Arc::clone(&place)) };
                connection(stream, peer.ip(), seat, patience, app, &shared, leave).await;
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

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    seat: Connection,
    patience: Duration,
    app: Router,
    shared: &Shared,
    leave: impl Future<Output = ()>,
) {
    // The kernel cuts a client that does not take its answer, so that nothing in this process has to watch for it.
    let millis = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) =
        setsockopt(&stream, TcpUserTimeout, &millis).map_err(Into::into).and_then(|()| stream.set_nodelay(true))
    {
        tracing::debug!(%error, "socket options refused");
    }
    let mut leave = pin!(leave);
    let peer = Peer(Some(peer));
    let Some(tls) = shared.tls.load_full() else { return talk(stream, peer, seat, patience, app, leave).await };
    let handshake = tokio::select! {
        handshake = timeout(patience, tls.accept(stream)) => handshake,
        () = &mut leave => return,
    };
    match handshake {
        Ok(Ok(stream)) => talk(stream, peer, seat, patience, app, leave).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// Serves one connection until it ends, or `leave` comes.
pub(super) async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    seat: Connection,
    patience: Duration,
    app: Router,
    leave: impl Future<Output = ()>,
) {
    let began = seat.began;
    let app = TowerToHyperService::new(app);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(seat.clone());
        let answer = app.call(request);
        async move {
            let mut answer = answer.await?;
            if clock::now().since(began) >= LIFE {
                answer::is_the_last(&mut answer);
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEADER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = leave => {
            connection.as_mut().graceful_shutdown();
            let Ok(served) = timeout(FAREWELL, connection).await else { return };
            served
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

/// The router, made of the table.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let handler = move |State(shared): State<Arc<Shared>>, request: Request| async move {
            respond(endpoint, &shared, &request.into_parts().0).await
        };
        let methods = match endpoint.access {
            // HAProxy's `option httpchk` asks with OPTIONS unless it is told otherwise; Patroni answers it, too.
            Access::HealthCheck => get(handler).options(handler),
            Access::Everybody | Access::Read => get(handler),
        };
        router = router.route(endpoint.path, methods);
    }
    for change in &CHANGES {
        let handler = move |State(shared): State<Arc<Shared>>, request: Request| async move {
            let (parts, body) = request.into_parts();
            // It has been taken whole already.
            match body.collect().await {
                Ok(body) => changing::change(change, shared, parts, body.to_bytes()).await,
                Err(_) => answer::last_failure(StatusCode::BAD_REQUEST, "the body is broken"),
            }
        };
        let filter = MethodFilter::try_from(change.method.clone()).expect("methods that everybody knows");
        router = router.route(change.path, on(filter, handler));
    }
    router
        .fallback(async || answer::failure(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            answer::failure(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .layer(middleware::from_fn(bounded))
        .layer(middleware::from_fn_with_state(shared.clone(), neighbours::admit))
        .with_state(shared)
}

async fn respond(endpoint: &Endpoint, shared: &Arc<Shared>, parts: &Parts) -> Response {
    let (uri, headers) = (&parts.uri, &parts.headers);
    if endpoint.access == Access::Read
        && let Err(refusal) = shared.tokens.load().may_read(headers)
    {
        return refusal;
    }
    let codes = match endpoint.access {
        Access::HealthCheck => match Codes::asked_for(uri.query()) {
            Ok(codes) => Some(codes),
            Err(refusal) => return refusal,
        },
        Access::Everybody | Access::Read => None,
    };
    let asked = Asked { seen: shared.snapshot_at(), shared, uri, headers };
    let response = match endpoint.answer {
        Answer::Streamed => {
            let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.0);
            events::answer(shared, peer, parts.extensions.get(), headers)
        }
        Answer::Known(answer) => answer(&asked),
        Answer::Described => answer::json(StatusCode::OK, &openapi::document()),
        Answer::Recorded => {
            let snapshot = &asked.seen.snapshot;
            let epoch = uri.path().rsplit('/').next().unwrap_or_default();
            shared.timeline.answer(snapshot.server.node.clone(), &snapshot.history, epoch).await
        }
        Answer::Reported => {
            let server = &asked.seen.snapshot.server;
            report::answer(&shared.timeline, server.node.clone(), server.version.clone()).await
        }
    };
    match codes {
        Some(codes) => health_checks::dressed(response, codes, &asked.seen),
        None => response,
    }
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
    match Limited::new(body, BODY).collect().await {
        Ok(received) => Ok(received.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(answer::last_failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB"))
        }
        Err(_) => Err(answer::last_failure(StatusCode::BAD_REQUEST, "the body is broken")),
    }
}
