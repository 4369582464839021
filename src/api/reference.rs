//! docs/reference/api.md, from the table of endpoints.

use std::fmt::Write as _;

use crate::api::changing::CHANGES;
use crate::api::endpoints::{Access, ENDPOINTS};

const INTRODUCTION: &str = "\
# The HTTP API

Generated from the table in `src/api/endpoints.rs`; do not edit.

Every endpoint answers `GET` and `HEAD`; health checks answer `OPTIONS` like `GET`, since HAProxy's
`option httpchk` asks that way by default. They take `?active=CODE`, `?standby=CODE` and `?out=CODE`, together or alone: the
code, 200 to 599 (else 400), to answer with on the active and ready node, on a standby that could take over, and on any other; other
parameters are ignored. Their header `X-Primacy-Reason` says why the node is what it is, `X-Primacy-Node` which one answers, for `HEAD` too. Bodies are JSON unless said otherwise and are never
to be cached. *Active and ready* is the node whose coordinator runs, is ready, has not been taken out by an operator,
and whose lease has not run out on the clock at the moment of the answer; an active node without a lease that lasts
answers as any other node.

Health checks and the page's files are open to everybody. Where `api.read_token_file` is configured, the other endpoints need
`Authorization: Bearer TOKEN` with the read token or the full one; without it they answer 401.
With `api.tls.client_ca` every connection needs a client certificate of that authority.

| path | active and ready | any other node | access | |
|---|---|---|---|---|
";

const CHANGES_INTRODUCTION: &str = "
## To change something

By any member. `reason` says why, and is kept. With `api.token_file` a change needs `Authorization: Bearer TOKEN` with one of its tokens, whose
name is written down as `by` (a lone one is called `token`): 401 for a missing or wrong
one, 403 for the one that may only read. Without it a change is taken from a loopback address only, with a `Host` that is loopback, the node's name or
that of `api.advertise`, and no `Origin` of another site (else 403). A header `X-Primacy-Account` says whose account asks; it is written down as a claim.
Bodies are `application/json` (else 415). 503: ZooKeeper does not answer. Every change, refused or not, is a line of the log.

| | path | |
|---|---|---|
";

const REST: &str = "
## The body of `/server_status`

All fields are always present, and null where unknown. With `mode = \"always-on\"` a node is `active` while its coordinator is ready, with `epoch` null
and `lock.path` empty; `active` names the elected node of the cluster, if there is one. It is never a standby: `/standby` and `/replica` answer 503, and `/health` and
`/readiness` while it is not ready. Its row in `/cluster` has `\"always_on\":true`, which other rows do not have.

```json
{\"status\":\"OK\",\"role\":\"active\",\"state\":\"ACTIVE\",\"cluster\":\"dremio\",\"node\":\"node-a\",\"version\":\"0.1.0\",
 \"epoch\":7,\"since\":\"2026-01-02T03:04:05.678Z\",\"reason\":\"elected after node-b stopped cleanly\",
 \"active\":{\"node\":\"node-a\",\"api\":\"http://node-a:9090\",\"epoch\":7,\"endpoints\":{\"web\":\"http://node-a:9047\"}},
 \"coordinator\":{\"pid\":4242,\"started_at\":\"2026-01-02T03:04:00.123Z\",\"ready\":true,\"restarts\":0,\"holds_lock\":true},
 \"zookeeper\":{\"state\":\"connected\",\"session\":\"0x1000\",\"session_timeout_ms\":10000,\"last_heartbeat_ms\":212},
 \"lease\":{\"remaining_ms\":6900},
 \"lock\":{\"held\":true,\"path\":\"/mnt/metadata/.primacy/coordinator.lock\",\"holder\":\"node-a\",
         \"verified\":\"verified\",\"verified_detail\":\"with node-b: …\"},
 \"watchdog\":{\"mode\":\"required\",\"device\":\"/dev/watchdog\",\"armed\":true,\"timeout_ms\":5000,\"problem\":null},
 \"warm\":null,
 \"paused\":false,\"switchover\":null}
```

`status` is one of `OK`, `STANDBY`, `WAITING_FOR_LOCK`, `WAITING_FOR_FENCE`, `STARTING`, `STOPPING`, `FENCING`, `ISOLATING`,
`ISOLATED`, `SHUTTING_DOWN`, `DISCONNECTED`. A node whose lease has run out reports role `fencing`, whatever it was before.
`warm` is what a standby keeps in its page cache of `[standby] warm`, as of the last pass: `{\"files\", \"bytes\", \"left_out\", \"problems\"}`; null
where nothing is kept. `left_out`: files for which `warm_limit` has no room, or not for all of them.
`active` is null where this node cannot know: another node is named only while there is contact with the election backend.

## Errors and limits

Errors are `{\"error\": \"...\", \"reasons\": {...}}`: 401 (with `WWW-Authenticate`), 404, 405 (with `Allow`), 408, 413.

| what | limit | then |
|---|---|---|
| body | 64 KiB | 413, connection closed |
| body, time | 10 s | 408, connection closed |
| header | 16 KiB | 431, connection closed |
| header, TLS handshake, silence between requests | 10 s; 1 s while fewer than a quarter of the connections are free | cut |
| a client that does not take its answer | 10 s | cut |
| connections | 1,024, or 192 fewer than the process may have open files | the oldest of the peer that has most makes room |
| connections of one peer (an address; of IPv6 its /64) | a quarter of them | its oldest makes room |
| life of a connection | 5 min | the next answer is its last (`Connection: close`); without one it is cut 10 s later |

A connection that makes room finishes the answer it is at. When a reload has changed the files of `api.tls`, the connections
that the former ones have let in end in the same way.

## Events

`GET /events` answers with server-sent events, until the connection is five minutes old; then it is to be asked again. An event carries the whole of what
it is about, so whoever keeps the latest of each knows the cluster. `seen_at`: when the member that is asked has seen it.

| event | data |
|---|---|
| `control` | `/cluster` without its members: who leads, and what operators have asked for |
| `member` | a row of `/cluster`; with `\"forgotten\":true` its last |
| `transition` | an entry of `/history`: a leadership has begun or ended, or more is known of it, its `gap_ms` for one |

An id is of one process of one member. Whoever shows the last one as `Last-Event-ID` is told what came after it, where that is still known (the last 512).
Everybody else is told the whole state first: a `control` with `\"full_state\":true` (what was known before is void), all members, all leaderships; the last one of these has the
first id. What changes while nobody reads is told as its outcome. A comment comes every five seconds: who hears nothing for longer should ask again.

At most 64 read at the same time, 32 of one peer, beside the connections above; who comes later gets a 503 with `Retry-After`.
When the token that was shown is withdrawn, the stream ends.

## The page, and pages of other members

`/` is a page for people, of a few files that are in the program; its `Content-Security-Policy` lets it load these and ask the members, nothing else. A request with
the `Origin` of a member's `api` is answered with `Access-Control-Allow-Origin`, for `GET` only: so the page of one member shows how the others are. What changes something
is asked of the member that has served the page.

HAProxy's `option httpchk` without a path asks for `OPTIONS /`: every node answers 405, and none counts as healthy. Name the
path: `option httpchk GET /server_status`.
";

/// The whole page.
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for endpoint in ENDPOINTS {
        let access = match endpoint.access {
            Access::HealthCheck | Access::Everybody => "everybody",
            Access::Read => "read",
        };
        writeln!(
            page,
            "| `{}` | {} | {} | {access} | {} |",
            endpoint.path, endpoint.active, endpoint.other, endpoint.about
        )
        .expect("a String takes any text");
    }
    page += CHANGES_INTRODUCTION;
    for change in &CHANGES {
        writeln!(page, "| `{}` | `{}` | {} |", change.method, change.path, change.about)
            .expect("a String takes any text");
    }
    page + REST
}
