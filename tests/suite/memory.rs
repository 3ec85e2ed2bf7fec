//! The memory budget, through the routes: what it covers, and that what does not fit is refused or read later.

use crate::support::memory_broker::MemoryBroker;
use curlew::http::{self, App, routes};
use curlew::hub::{self, Hub};
use curlew::memory_budget::MemoryBudget;
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::Arc;
use warp::http::Response;
use warp::hyper::body::Bytes;

struct World {
    broker: Arc<MemoryBroker>,
    memory: MemoryBudget,
    app: Arc<App>,
}

fn world(budget: usize) -> World {
    let (broker, memory) = (MemoryBroker::new(), MemoryBudget::new(budget));
    broker.create("t", 1);
    let hub = Hub::start(broker.clone(), hub::Settings { memory: memory.clone(), ..hub::Settings::default() });
    let settings = http::Settings { memory: memory.clone(), ..http::Settings::default() };
    World { broker, memory, app: App::new(Arc::new(hub.unwrap()), settings) }
}

impl World {
    /// The answer as its client has it before it takes anything of it.
    async fn ask(&self, path: &str) -> warp::reply::Response {
        let request = warp::test::request().path(path).header("host", "localhost");
        request.filter(&routes(self.app.clone())).await.unwrap()
    }
}

async fn whole(answer: warp::reply::Response) -> (u16, Value) {
    let (parts, body) = answer.into_parts();
    let body: Bytes = body.collect().await.unwrap().to_bytes();
    let answer = Response::from_parts(parts, body);
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
}

const PAGE: &str = "/topics/t/partitions/0/records?offset=0&limit=20";

#[tokio::test]
async fn pages_that_nobody_reads_are_refused_beyond_the_memory_budget() {
    let world = world(16 << 20);
    // Six times as long in JSON.
    world.broker.append("t", 0, vec![1; 200 << 10]);
    let mut unread = Vec::new();
    let refused = loop {
        let page = world.ask(PAGE).await;
        if page.status() != 200 {
            break page;
        }
        unread.push(page);
        assert!(world.memory.pages.used() <= world.memory.pages.most());
    };
    assert!((1..=2).contains(&unread.len()), "{}", unread.len());
    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, problem) = whole(refused).await;
    assert_eq!(status, 503);
    assert!(problem["detail"].as_str().unwrap().contains("--memory-budget"), "{problem}");
    // A client that takes its page makes room for the next.
    let taken = whole(unread.pop().unwrap()).await;
    assert_eq!(taken.1["records"][0]["value"].as_str().map(str::len), Some(200 << 10));
    assert_eq!(whole(world.ask(PAGE).await).await, taken);
    unread.clear();
    assert_eq!(world.memory.pages.used(), 0);
}

#[tokio::test]
async fn a_page_whose_records_are_much_larger_in_json_ends_before_the_next_one() {
    let world = world(256 << 20);
    for _ in 0..3 {
        world.broker.append("t", 0, vec![1; 500_000]);
    }
    let mut at = 0;
    for expected in [1, 2, 3] {
        let (_, page) = whole(world.ask(&format!("/topics/t/partitions/0/records?offset={at}")).await).await;
        assert_eq!(page["records"].as_array().map(Vec::len), Some(1));
        at = page["next_offset"].as_i64().unwrap();
        assert_eq!(at, expected);
    }
}
