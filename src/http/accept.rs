//! Media types: the one that a client prefers, and the name of one.

use warp::http::HeaderMap;
use warp::http::header;

/// Returns the value of the `Accept` header, or the joined values of several.
pub fn accept(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    values.collect::<Vec<_>>().join(", ")
}

/// Returns a media type in lower case, without its parameters such as `charset`.
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns the supported type with the highest quality (RFC 9110, section 12.5.1), or the first of several with the
/// same quality. `supported` is called with each media range in lower case, without its parameters.
pub fn preferred<T>(accept: &str, supported: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut best: Option<(T, f32)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some(found) = supported(&parts.next().unwrap_or_default().to_ascii_lowercase()) else { continue };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        if quality > best.as_ref().map_or(0.0, |(_, best)| *best) {
            best = Some((found, quality));
        }
    }
    best.map(|(found, _)| found)
}
