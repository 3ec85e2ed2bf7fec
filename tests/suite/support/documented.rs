//! The contract that the bridge serves at `/openapi.json`.

use serde_json::Value;
use warp::http::StatusCode;

/// Asserts that `/openapi.json` documents this status for this route.
pub fn is_documented(method: &str, path: &str, status: StatusCode) {
    let document: Value = serde_json::from_str(include_str!("../../../src/http/openapi.json")).unwrap();
    let parts: Vec<_> = path.split('?').next().unwrap().trim_end_matches('/').split('/').collect();
    let is_of = |template: &str| {
        let template: Vec<_> = template.trim_end_matches('/').split('/').collect();
        template.len() == parts.len() && template.iter().zip(&parts).all(|(t, p)| t.starts_with('{') || t == p)
    };
    let Some((_, operations)) = document["paths"].as_object().unwrap().iter().find(|(path, _)| is_of(path)) else {
        return assert!([403, 404, 204].contains(&status.as_u16()), "{method} {path} answers {status}");
    };
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    match operations.get(method) {
        Some(operation) => assert!(
            operation["responses"].get(status.as_str()).is_some(),
            "{path} answers {status}, which is not documented"
        ),
        None => assert!([204, 401, 403, 405].contains(&status.as_u16()), "{path} answers {status}"),
    }
}
