//! Curlew: an HTTP bridge for Apache Kafka. The map, from the top layer down.
//!
//! - [`commands`]: `consume`, `produce`, `doctor` and the other commands of the terminal; the data of `demo`
//! - [`config`]: all settings; the only reader of arguments and the environment
//! - [`http`]: the routes; the only module that names warp
//! - [`auth`]: authentication by keys, passwords and tokens, and the rights that they grant
//! - [`hub`]: fans records out to many streams and batches writes; its threads read the broker
//! - [`series`]: minimum, maximum, last value and count of numbers in records, per series and step
//! - [`kafka`]: the [`Broker`](broker::Broker) for a Kafka cluster
//! - [`embedded`]: the [`Broker`](broker::Broker) for a durable log in a local directory
//! - [`schemas`]: the schema registry, its formats (Avro, Protobuf, JSON Schema), and a [`Broker`](broker::Broker) that decodes
//! - [`broker`]: the trait between the hub and a log, its errors, and the doctor's diagnoses
//! - [`cel`]: the filter language, a bounded subset of CEL
//! - [`cursor`]: a position in every partition, as an SSE id
//! - [`start_position`]: the start positions of streams, and their syntax
//! - [`record`]: topics, partitions, records, and the partitioner
//! - [`tls`]: TLS support shared by servers and clients
//! - [`secret`]: passwords and tokens, which no log shows
//! - [`logging`]: the formats of the log, and the request ids in its lines
//! - [`sync`]: locks, owned threads and their watchdog, back-off, the memory budget
//! - [`os`]: signals, files, limits, systemd, the terminal

pub mod auth;
pub mod broker;
pub mod cel;
pub mod commands;
pub mod config;
pub mod cursor;
pub mod embedded;
pub mod http;
pub mod hub;
pub mod kafka;
pub mod logging;
pub mod os;
pub mod record;
pub mod schemas;
pub mod secret;
pub mod series;
pub mod start_position;
pub mod sync;
pub mod tls;
