//! The ceiling: a warp route that reads the body and answers with something as long as a receipt.

use warp::Filter;

const ANSWER: &str = r#"{"topic":"bench","partition":0,"offset":1234567,"timestamp":1790000000000}"#;

pub fn serve(port: u16) {
    let route = warp::post()
        .and(warp::body::bytes())
        .map(|_| warp::http::Response::builder().header("content-type", "application/json").body(ANSWER));
    tokio::runtime::Runtime::new()
        .expect("runtime")
        .block_on(async { warp::serve(route).run(([127, 0, 0, 1], port)).await });
}
