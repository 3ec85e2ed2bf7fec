//! The media types of Kafka's REST proxies, which their clients ask for.

use super::accept::{accept, preferred};
use super::response::as_json;
use bytes::Bytes;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

/// Returns the media type of a response to a client of a REST proxy: the one that it accepts, else `application/json`.
pub fn media_type(headers: &HeaderMap) -> &'static str {
    let supported = |range: &str| match range {
        "application/vnd.kafka.v2+json" => Some("application/vnd.kafka.v2+json"),
        "application/vnd.kafka.v1+json" => Some("application/vnd.kafka.v1+json"),
        "application/vnd.kafka+json" => Some("application/vnd.kafka+json"),
        "application/json" | "application/*" | "*/*" => Some("application/json"),
        _ => None,
    };
    preferred(&accept(headers), supported).unwrap_or("application/json")
}

/// Returns a JSON response in the media type that the client accepts.
pub fn as_accepted_json<B: From<Bytes>>(headers: &HeaderMap, json: impl Into<Bytes>) -> warp::http::Response<B> {
    let mut response = as_json(json);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type(headers)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::header::ACCEPT;

    #[test]
    fn the_media_type_is_the_most_preferred_one_of_the_rest_proxies() {
        for (accept, expected) in [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("text/html", "application/json"),
            ("application/vnd.kafka.v2+json", "application/vnd.kafka.v2+json"),
            ("Application/Vnd.Kafka.V2+JSON; charset=utf-8", "application/vnd.kafka.v2+json"),
            (
                "application/vnd.kafka.v1+json, application/vnd.kafka+json; q=0.9, application/json; q=0.8",
                "application/vnd.kafka.v1+json",
            ),
            ("application/vnd.kafka.v2+json;q=0.1, application/json", "application/json"),
            ("application/vnd.kafka+json", "application/vnd.kafka+json"),
        ] {
            let headers = [(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
            assert_eq!(media_type(&headers), expected, "{accept}");
        }
    }
}
