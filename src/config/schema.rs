//! The JSON Schema of the file, made from the table of keys.
//!
//! Editors use it (taplo, Even Better TOML). It states structure and types; what concerns several keys at once (the lease
//! arithmetic, one health probe at most) and what concerns this host is for [`super::load`] to say.

use serde_json::{Map, Value, json};

use super::effective::{size, span};
use super::keys::{Default, KEYS, Key, Kind};

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    let mut root = object("Configuration of primacy");
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    for key in KEYS {
        insert(&mut root, key.path, key);
    }
    root
}

fn object(title: &str) -> Value {
    json!({ "title": title, "type": "object", "additionalProperties": false, "properties": {} })
}

fn insert(table: &mut Value, path: &str, key: &Key) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    if key.default == Default::Required {
        require(table, name);
    }
    let properties = &mut table["properties"];
    match rest {
        None => properties[name] = property(key),
        Some(rest) => {
            if properties.get(name).is_none() {
                properties[name] = object(name);
            }
            insert(&mut properties[name], rest, key);
        }
    }
}

fn require(table: &mut Value, name: &str) {
    if table.get("required").is_none() {
        table["required"] = json!([]);
    }
    if let Some(names) = table["required"].as_array_mut()
        && !names.iter().any(|present| present == name)
    {
        names.push(json!(name));
    }
}

fn property(key: &Key) -> Value {
    let mut property = match key.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::SecretFile | Kind::Path => json!({ "type": "string", "pattern": "^(/.*)?$" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Duration { .. } => json!({ "type": "string", "examples": ["500ms", "10s", "2m"] }),
        Kind::Size => json!({ "type": "string", "examples": ["100MiB"] }),
        Kind::Count { least } => json!({ "type": "integer", "minimum": least, "maximum": u32::MAX }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Arguments => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Paths => json!({ "type": "array", "items": { "type": "string", "pattern": "^/" } }),
        Kind::Texts | Kind::SecretTexts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
    };
    property["description"] = json!(key.about.replace('`', ""));
    if let Some(default) = default(key) {
        property["default"] = default;
    }
    property
}

fn default(key: &Key) -> Option<Value> {
    match key.default {
        Default::Required | Default::Computed(_) => None,
        Default::Unset => Some(match key.kind {
            Kind::Arguments | Kind::Paths => json!([]),
            Kind::Texts | Kind::SecretTexts => Value::Object(Map::new()),
            _ => json!(""),
        }),
        Default::Text(text) => Some(json!(text)),
        Default::Duration(duration) => Some(json!(span(duration))),
        Default::Size(bytes) => Some(json!(size(bytes))),
        Default::Count(count) => Some(json!(count)),
        Default::Boolean(boolean) => Some(json!(boolean)),
    }
}
