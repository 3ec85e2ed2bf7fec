//! `GET /health`: the health of the process. `GET /ready`: its readiness to serve requests.

use super::origin::RequestOrigin;
use super::problem::Problem;
use super::request::Request;
use super::response::json_response;
use super::shutdown::Phase;
use super::{App, auth};
use crate::hub::Rejected;
use crate::sync::watchdog;
use bytes::Bytes;
use log::warn;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use warp::reply::Response;

/// Time limit for the broker to respond to a check of `/ready`.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// Responds with 200 if the process and its threads work. If they do not, only a restart helps.
pub fn health<B: From<Bytes>>(app: &App) -> Result<warp::http::Response<B>, Problem> {
    check_threads(app)?;
    Ok(json_response(json!({"status": "ok", "panics": watchdog::panics()}).to_string()))
}

fn check_threads(app: &App) -> Result<(), Problem> {
    let faults = app.hub.faults();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Problem::busy(format!("{}; please report it, and restart the bridge", faults.join("; "))))
}

/// Responds with 200 if records can be read and written. Only authenticated clients see addresses of brokers and names of
/// topics.
pub async fn ready(app: &Arc<App>, request: &Request, origin: &RequestOrigin) -> Result<Response, Problem> {
    check_threads(app)?;
    let hub = app.hub.clone();
    if hub.is_ending() || app.shutdown.phase() != Phase::Serving {
        return Err(Rejected::ShuttingDown.into());
    }
    let result = tokio::time::timeout(READY_TIMEOUT, app.ask(move || hub.broker().ready())).await;
    let late = |_| Problem::busy(format!("the broker has not responded for {} s", READY_TIMEOUT.as_secs()));
    let is_permitted = auth::authenticate(app, request, origin).await.is_ok();
    // Any error of the broker makes the bridge not ready.
    match result.map_err(late)?? {
        Ok(()) if is_permitted => {
            Ok(json_response(json!({"status": "ready", "broker": app.hub.broker().describe()}).to_string()))
        }
        Ok(()) => Ok(json_response(json!({"status": "ready"}).to_string())),
        Err(error) if is_permitted => Err(Problem::busy(error.to_string())),
        Err(error) => {
            warn!("GET /ready: {error}");
            let detail = "the broker is unavailable or its data is damaged; see the bridge's log, or send a key to get the reason here";
            Ok(Problem::busy(detail).response())
        }
    }
}
