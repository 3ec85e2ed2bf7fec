//! Curlew through its public interfaces: the routes, the hub, the `Broker` trait and the binary. There is one test
//! binary, so that the crate and the broker in memory are compiled and linked once.
#![allow(clippy::unwrap_used)]

mod access;
mod cli;
mod cloudevents;
mod conditions;
mod ends;
mod fuzz;
mod http2;
mod http_rules;
mod hub;
mod karapace;
mod limits;
mod logs;
mod memory;
mod metrics;
mod monitoring;
mod ndjson;
mod neighbours;
mod overview;
mod pages;
mod produce;
mod produce_encoded;
mod produce_schemas;
mod readme;
mod registry;
mod rest_proxy;
mod resume;
mod routes;
mod sample;
mod schemas;
mod select;
mod series;
mod server;
mod shipped;
mod shippers;
mod slow_readers;
mod snapshot;
mod snapshot_cuts;
mod snapshot_with;
mod support;
mod tidy;
mod tokens;
mod until;
