//! `/openapi.json`: the interface in OpenAPI 3.1, made of the tables that the router is made of.

use serde_json::{Map, Value, json};

use crate::api::changing::CHANGES;
use crate::api::endpoints::{Access, ENDPOINTS};

/// The whole document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let health_check = endpoint.access == Access::HealthCheck;
        let protected = endpoint.access == Access::Read;
        let about = format!(
            "{} The active and ready node answers {}; any other node {}.",
            endpoint.about, endpoint.active, endpoint.other
        );
        let mut parameters = in_the_path(endpoint.path);
        if health_check {
            parameters.extend(
                ["active", "standby", "out"].map(|name| json!({"$ref": format!("#/components/parameters/{name}")})),
            );
        }
        let mut responses = Map::new();
        responses.insert("200".to_owned(), answered(endpoint.path, health_check));
        if health_check {
            responses.insert("default".to_owned(), answered(endpoint.path, true));
            responses.insert("400".to_owned(), failure("A code that is none."));
        }
        if protected {
            responses.insert(
                "401".to_owned(),
                failure("No token, or a wrong one, where api.read_token_file is configured."),
            );
        }
        if !health_check {
            responses.insert("default".to_owned(), failure("It could not be answered."));
        }
        let methods: &[&str] = if health_check { &["get", "head", "options"] } else { &["get", "head"] };
        for method in methods {
            let security = if protected { json!([{}, {"token": []}]) } else { json!([]) };
            let operation = json!({
                "operationId": operation_id(method, endpoint.path),
                "description": about,
                "parameters": parameters,
                "security": security,
                "responses": responses,
            });
            insert(&mut paths, endpoint.path, method, operation);
        }
    }
    for change in &CHANGES {
        let method = change.method.as_str().to_lowercase();
        let mut operation = json!({
            "operationId": operation_id(&method, change.path),
            "description": change.about,
            "parameters": in_the_path(change.path),
            "security": [{}, {"token": []}],
            "responses": {
                "200": {"description": "Done."},
                "401": failure("No token, or a wrong one."),
                "403": failure("This token may only read; or, without api.token_file, it was not asked from this host."),
                "default": failure("It was not done; `error` says why."),
            },
        });
        if method != "delete" {
            operation["requestBody"] = json!({"content": {"application/json": {"schema": {}}}});
        }
        insert(&mut paths, change.path, &method, operation);
    }
    let code = |name: &str, who: &str| {
        json!({
            "name": name, "in": "query", "required": false,
            "description": format!("The code to answer with on {who}."),
            "schema": {"type": "integer", "minimum": 200, "maximum": 599},
        })
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "primacy",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Health checks, status, and what operators change. docs/reference/api.md says more.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "parameters": {
                "active": code("active", "the active and ready node"),
                "standby": code("standby", "a standby that could take over"),
                "out": code("out", "any other node"),
            },
            "headers": {
                "X-Primacy-Node": {"description": "Which node answers.", "schema": {"type": "string"}},
                "X-Primacy-Reason": {"description": "Why the node is what it is.", "schema": {"type": "string"}},
            },
            "schemas": {
                "Failure": {
                    "type": "object",
                    "required": ["error", "reasons"],
                    "properties": {
                        "error": {"type": "string"},
                        "reasons": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                },
            },
        },
    })
}

fn insert(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
}

/// The parameters in braces.
fn in_the_path(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect()
}

/// As in `get_history_epoch`: no two are the same.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|it: char| !it.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

fn answered(path: &str, health_check: bool) -> Value {
    let content = if path == "/metrics" {
        json!({"text/plain": {"schema": {"type": "string"}}})
    } else if path == "/events" {
        json!({"text/event-stream": {"schema": {"type": "string"}}})
    } else if path == "/" {
        json!({"text/html": {"schema": {"type": "string"}}})
    } else if path == "/page/{file}" || path == "/operations.md" {
        json!({"text/*": {"schema": {"type": "string"}}})
    } else {
        json!({"application/json": {"schema": {}}})
    };
    let mut answered = json!({"description": "As described.", "content": content});
    if health_check {
        let header = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
        answered["headers"] =
            json!({"X-Primacy-Node": header("X-Primacy-Node"), "X-Primacy-Reason": header("X-Primacy-Reason")});
    }
    answered
}

fn failure(about: &str) -> Value {
    json!({
        "description": about,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}},
    })
}
