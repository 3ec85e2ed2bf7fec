//! Serves the dashboard: the files of `src/dashboard/`, embedded in the binary. There is no build step, and no file comes
//! from another host.

use super::api_docs;
use super::problem::Problem;
use super::request::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::OnceLock;
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Response as HttpResponse, StatusCode};
use warp::hyper::body::Bytes;
use warp::reply::Response;

struct StaticFile {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Compressed on the first request that accepts gzip.
    gzipped: OnceLock<Bytes>,
}

impl StaticFile {
    fn gzipped(&self) -> &Bytes {
        self.gzipped.get_or_init(|| {
            let mut out = GzEncoder::new(Vec::new(), Compression::best());
            // Writing to memory does not fail.
            let _ = out.write_all(self.bytes);
            out.finish().unwrap_or_default().into()
        })
    }
}

macro_rules! files {
    ($($name:literal: $content_type:expr,)*) => {
        static FILES: [StaticFile; [$($name),*].len()] =
            [$(StaticFile { name: $name, content_type: $content_type, bytes: include_bytes!(concat!("../dashboard/", $name)), gzipped: OnceLock::new() },)*];
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
static PAGE: StaticFile = StaticFile {
    name: "",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../dashboard/index.html"),
    gzipped: OnceLock::new(),
};
/// `/client.js`: the event stream client of the dashboard, also for other pages.
static CLIENT: StaticFile = StaticFile {
    name: "",
    content_type: SCRIPT,
    bytes: include_bytes!("../dashboard/client.js"),
    gzipped: OnceLock::new(),
};
files! {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "also.js": SCRIPT,
    "band.js": SCRIPT,
    "base.js": SCRIPT,
    "browse.js": SCRIPT,
    "canvas.js": SCRIPT,
    "cards.js": SCRIPT,
    "chart.js": SCRIPT,
    "charts.js": SCRIPT,
    "choices.js": SCRIPT,
    "chooser.js": SCRIPT,
    "detail.js": SCRIPT,
    "dom.js": SCRIPT,
    "drag_zoom.js": SCRIPT,
    "draw.js": SCRIPT,
    "draw_timeline.js": SCRIPT,
    "encoding.js": SCRIPT,
    "export.js": SCRIPT,
    "feed.js": SCRIPT,
    "filter.js": SCRIPT,
    "first_steps.js": SCRIPT,
    "format.js": SCRIPT,
    "hub.js": SCRIPT,
    "key_search.js": SCRIPT,
    "keyboard.js": SCRIPT,
    "kinds.js": SCRIPT,
    "latest.js": SCRIPT,
    "leaves.js": SCRIPT,
    "legend.js": SCRIPT,
    "lines.js": SCRIPT,
    "list.js": SCRIPT,
    "main.js": SCRIPT,
    "navigate.js": SCRIPT,
    "number_text.js": SCRIPT,
    "overview.js": SCRIPT,
    "path.js": SCRIPT,
    "picture.js": SCRIPT,
    "pointer.js": SCRIPT,
    "produce.js": SCRIPT,
    "query.js": SCRIPT,
    "question.js": SCRIPT,
    "range.js": SCRIPT,
    "range_bar.js": SCRIPT,
    "rate.js": SCRIPT,
    "record.js": SCRIPT,
    "record_reader.js": SCRIPT,
    "records.js": SCRIPT,
    "scale.js": SCRIPT,
    "series.js": SCRIPT,
    "series_data.js": SCRIPT,
    "series_feed.js": SCRIPT,
    "series_notes.js": SCRIPT,
    "session.js": SCRIPT,
    "shape.js": SCRIPT,
    "shape_tracker.js": SCRIPT,
    "spans.js": SCRIPT,
    "sparkline.js": SCRIPT,
    "start.js": SCRIPT,
    "state.js": SCRIPT,
    "status.js": SCRIPT,
    "store.js": SCRIPT,
    "stream.js": SCRIPT,
    "tile.js": SCRIPT,
    "tiles.js": SCRIPT,
    "timeline.js": SCRIPT,
    "topic.js": SCRIPT,
    "topic_charts.js": SCRIPT,
    "topic_poller.js": SCRIPT,
    "topic_row.js": SCRIPT,
    "topic_rows.js": SCRIPT,
    "track.js": SCRIPT,
    "trail.js": SCRIPT,
    "transport.js": SCRIPT,
    "url.js": SCRIPT,
    "worker.js": SCRIPT,
    "written.js": SCRIPT,
}

/// The Content-Security-Policy. It allows only files from the bridge; Trusted Types keep scripts from turning text into HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types curlew-worker";

/// Returns the page to clients that accept HTML, such as browsers, and a text page to other clients, such as curl.
pub fn index(request: &Request) -> Response {
    let html = has(&request.headers, header::ACCEPT, "text/html");
    let mut response = if html { respond(&PAGE, request) } else { api_docs::index() };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    response
}

pub fn client(request: &Request) -> Response {
    respond(&CLIENT, request)
}

pub fn file(name: &str, request: &Request) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.name == name);
    file.map(|file| respond(file, request)).ok_or_else(|| Problem::not_found(&request.path))
}

/// Responds with the file, or with 304 if the client has this version: browsers revalidate on every load (`no-cache`).
fn respond(file: &'static StaticFile, request: &Request) -> Response {
    let gzipped = has(&request.headers, header::ACCEPT_ENCODING, "gzip");
    let form = if gzipped { "-gz" } else { "" };
    let tag = format!("\"{:08x}-{}{form}\"", crc32c::crc32c(file.bytes), file.bytes.len());
    let mut response = HttpResponse::builder()
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(header::VARY, "Accept-Encoding")
        .header(header::ETAG, &tag);
    let body = if has(&request.headers, header::IF_NONE_MATCH, &tag) {
        response = response.status(StatusCode::NOT_MODIFIED);
        Bytes::new()
    } else {
        response = response.header(header::CONTENT_TYPE, file.content_type);
        if gzipped {
            response = response.header(header::CONTENT_ENCODING, "gzip");
            file.gzipped().clone()
        } else {
            Bytes::from_static(file.bytes)
        }
    };
    match response.body(body) {
        Ok(response) => response.map(Into::into),
        Err(_) => Problem::internal("the page's headers cannot be written").response(),
    }
}

fn has(headers: &HeaderMap, name: HeaderName, text: &str) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(text))
}
