//! `/docs`: the API for people, made from its document. The page asks for nothing from elsewhere.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::Anybody;
use super::failure::Failure;
use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(docs))
}

/// The API, for people.
#[utoipa::path(
    get, path = "/docs", tag = "service", operation_id = "docs",
    responses((status = 200, description = "A page.", body = String, content_type = "text/html"), Failure)
)]
async fn docs(_: Anybody) -> impl IntoResponse {
    static PAGE: LazyLock<String> =
        LazyLock::new(|| page(&serde_json::to_value(super::openapi()).expect("the document is plain data")));
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    (headers, PAGE.as_str())
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
code,.path{font-family:ui-monospace,monospace}h2{border-bottom:1px solid #ccc;margin-top:2.5rem}\
summary{cursor:pointer;padding:.3rem 0}.method{display:inline-block;width:4.5rem;font-weight:bold;text-transform:uppercase}\
table{border-collapse:collapse;margin:.5rem 0 1rem}td,th{border:1px solid #ddd;padding:.2rem .6rem;text-align:left;vertical-align:top}\
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}td,th{border-color:#444}h2{border-color:#444}}";

/// A page of the document.
fn page(document: &Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Wharf API</title><style>{STYLE}</style><h1>Wharf API</h1><p>{}</p>\
         <p>For programs: <a href=/openapi.json>/openapi.json</a></p>",
        escaped(text(&document["info"]["description"]))
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        let (name, description) = (text(&tag["name"]), text(&tag["description"]));
        _ = write!(html, "<h2>{}</h2><p>{}</p>", escaped(name), escaped(description));
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            let methods = methods.as_object().into_iter().flatten();
            for (method, operation) in methods.filter(|(_, operation)| operation["tags"][0] == name) {
                html.push_str(&self::operation(path, method, operation));
            }
        }
    }
    html.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        html.push_str(&self::schema(name, schema));
    }
    html
}

fn operation(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<details><summary><span class=method>{method}</span><span class=path>{}</span> &mdash; {}</summary>",
        escaped(path),
        escaped(text(&operation["summary"]))
    );
    _ = write!(html, "<p>{}</p>", escaped(text(&operation["description"])));
    let parameters = operation["parameters"].as_array();
    if let Some(parameters) = parameters.filter(|parameters| !parameters.is_empty()) {
        html.push_str("<table><tr><th>parameter<th>in<th>is</tr>");
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let description = text(&parameter["description"]);
            _ = write!(
                html,
                "<tr><td><code>{}</code><td>{}<td>{}</tr>",
                escaped(name),
                escaped(place),
                escaped(description)
            );
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        _ = write!(html, "<p>Body: {}</p>", kind(body));
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let schema = &response["content"]["application/json"]["schema"];
        let body = if schema.is_null() { String::new() } else { format!(": {}", kind(schema)) };
        _ = write!(html, "<p>{}: {}{body}</p>", escaped(status), escaped(text(&response["description"])));
    }
    html + "</details>"
}

fn schema(name: &str, schema: &Value) -> String {
    let mut html = format!(
        "<details id=\"{0}\"><summary><code>{0}</code></summary><p>{1}</p>",
        escaped(name),
        escaped(text(&schema["description"]))
    );
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    html.push_str("<table>");
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        let mark = if required.contains(&field.as_str()) { "" } else { "?" };
        let description = escaped(text(&property["description"]));
        _ = write!(
            html,
            "<tr><td><code>{}</code>{mark}<td>{}<td>{description}</tr>",
            escaped(field),
            kind(property)
        );
    }
    html + "</table></details>"
}

/// What a value is, with a link to its schema if that has a name.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escaped(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#{name}\"><code>{name}</code></a>");
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(all) = schema[choice].as_array() {
            return all.iter().filter(|one| one["type"] != "null").map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    let names: Vec<_> = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).filter(|name| *name != "null").collect(),
        one => vec![text(one)],
    };
    if names == ["array"] {
        return format!("list of {}", kind(&schema["items"]));
    }
    match schema["enum"].as_array() {
        Some(words) => escaped(&words.iter().map(text).collect::<Vec<_>>().join(" | ")),
        None => escaped(&names.join(" or ")),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_operation_and_asks_for_nothing() {
        let document = serde_json::to_value(crate::http::openapi()).unwrap();
        let page = page(&document);
        for (path, methods) in document["paths"].as_object().unwrap() {
            assert!(page.contains(&escaped(path)), "{path}");
            for operation in methods.as_object().unwrap().values() {
                assert!(page.contains(&escaped(text(&operation["summary"]))), "{path}");
            }
        }
        for outside in ["http://", "https://", "<script", "<img", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn text_is_no_markup() {
        let document = serde_json::json!({ "info": { "description": "<script>" }, "tags": [], "paths": {} });
        assert!(page(&document).contains("&lt;script&gt;"));
    }
}
