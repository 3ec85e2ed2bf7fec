//! The documentation of the API: a text page, and the OpenAPI document.

use super::response::as_json;
use warp::reply::{Reply, Response};

/// Returns the text page at `/`, for curl and other clients that do not accept HTML.
pub fn index() -> Response {
    let text = "Curlew: an HTTP bridge for Apache Kafka. curl in, events out.\n\n\
        POST   /topics/{topic}                                 produce: curl -d '{\"Hello\": \"World\"}' URL\n\
        DELETE /topics/{topic}?key=K                           produce a tombstone\n\
        DELETE /topics/{topic}?records=all                     delete the topic, where --allow-delete is set\n\
        GET    /topics/{topic}/events                          consume: new EventSource(URL), or curl -N URL\n\
        GET    /events?topic=a&topic=b                         consume several topics\n\
        GET    /topics                                         the topics\n\
        GET    /topics/{topic}                                 its partitions, offsets and settings\n\
        GET    /topics/{topic}/partitions/{partition}/records  a page of records\n\
        GET    /brokers, /topics/{topic}/partitions            what clients of a REST proxy look up\n\
        POST   /admin/topics                                   create a topic, where --allow-create is set\n\
        GET    /health, /ready                                 the bridge, the broker\n\
        GET    /metrics                                        counters for Prometheus\n\
        GET    /client.js                                      EventStream, an EventSource that survives proxies\n\
        GET    /openapi.json                                   all of it in full\n";
    text.into_response()
}

/// Returns `/openapi.json`.
pub fn openapi() -> Response {
    as_json(include_str!("openapi.json"))
}
