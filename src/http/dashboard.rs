//! The dashboard: files of `src/dashboard/` inside the binary. No build step, nothing from another host.

use super::problem::Problem;
use super::routes::Request;
use super::status;
use warp::http::header::{self, HeaderValue};
use warp::http::{Response as Answer, StatusCode};
use warp::hyper::body::Bytes;
use warp::reply::Response;

struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal: $content_type:expr,)*) => {
        &[$(File { name: $name, content_type: $content_type, bytes: include_bytes!(concat!("../dashboard/", $name)) },)*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const PAGE: File = File {
    name: "",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../dashboard/index.html"),
};
const FILES: &[File] = files! {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "browse.js": SCRIPT,
    "chart.js": SCRIPT,
    "charts.js": SCRIPT,
    "detail.js": SCRIPT,
    "dom.js": SCRIPT,
    "draw.js": SCRIPT,
    "feed.js": SCRIPT,
    "filter.js": SCRIPT,
    "format.js": SCRIPT,
    "hub.js": SCRIPT,
    "list.js": SCRIPT,
    "main.js": SCRIPT,
    "overview.js": SCRIPT,
    "produce.js": SCRIPT,
    "reach.js": SCRIPT,
    "record.js": SCRIPT,
    "records.js": SCRIPT,
    "scale.js": SCRIPT,
    "series.js": SCRIPT,
    "spark.js": SCRIPT,
    "status.js": SCRIPT,
    "store.js": SCRIPT,
    "stream.js": SCRIPT,
    "topic.js": SCRIPT,
    "url.js": SCRIPT,
    "watch.js": SCRIPT,
    "worker.js": SCRIPT,
};

/// Only our own files, and no markup made of text: scripts cannot write HTML (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types curlew-worker";

/// The page, for who asks for HTML as browsers do; curl gets a page of text.
pub fn index(request: &Request) -> Response {
    let accepted = request.headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let mut response =
        if accepted.into_iter().any(|a| a.contains("text/html")) { answer(&PAGE, request) } else { status::index() };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    response
}

pub fn file(name: &str, request: &Request) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.name == name);
    file.map(|file| answer(file, request)).ok_or_else(|| Problem::not_found(&request.path))
}

/// A browser asks each time, and is told in a few bytes that it has the newest already.
fn answer(file: &File, request: &Request) -> Response {
    let tag = format!("\"{:08x}-{}\"", crc32c::crc32c(file.bytes), file.bytes.len());
    let known = request.headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let answer = Answer::builder()
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(header::ETAG, &tag);
    let answer = if known.into_iter().any(|tags| tags.contains(&tag)) {
        answer.status(StatusCode::NOT_MODIFIED).body(Bytes::new())
    } else {
        answer.header(header::CONTENT_TYPE, file.content_type).body(Bytes::from_static(file.bytes))
    };
    match answer {
        Ok(answer) => answer.map(Into::into),
        Err(_) => Problem::internal("the page's headers cannot be written").response(),
    }
}
