//! Consent to webhook deliveries: the handshake of "HTTP 1.1 Web Hooks for Event Delivery", section 4.
//!
//! It protects the sender, which asks whether a target expects its events, and grants nothing: deliveries need the
//! same credentials as other requests. `Origin` and the rules for pages are not involved.

use super::limits::UNLIMITED;
use warp::http::header::{HeaderMap, HeaderValue};

const REQUEST_ORIGIN: &str = "webhook-request-origin";
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
const ALLOWED_RATE: &str = "webhook-allowed-rate";

/// The names of systems that may send events here (`--webhook-origin`), or `*` for all of them. By default none: an
/// `OPTIONS` response without the headers is no consent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookSenders(pub Vec<String>);

impl WebhookSenders {
    /// Adds the consent to a response if the request is a validation request of an allowed sender.
    pub fn consent(&self, request: &HeaderMap, requests_per_second: usize, response: &mut HeaderMap) {
        let Some(sender) = request.get(REQUEST_ORIGIN) else { return };
        let is_allowed = |name: &String| name == "*" || sender.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        if sender.is_empty() || !self.0.iter().any(is_allowed) {
            return;
        }
        response.insert(ALLOWED_ORIGIN, sender.clone());
        // Requests per minute.
        let rate = match requests_per_second {
            UNLIMITED => HeaderValue::from_static("*"),
            rate => HeaderValue::from(rate.saturating_mul(60)),
        };
        response.insert(ALLOWED_RATE, rate);
    }
}
