//! CloudEvents 1.0: the rules that requests and streams share. Record headers follow the Kafka binding (`ce_NAME`),
//! request headers the HTTP binding (`ce-NAME`).

pub mod attributes;
pub mod header_value;
pub mod json_event;
pub mod media_type;

/// Record headers of attributes begin with this (Kafka binding, section 3.2.3.1).
pub const RECORD_PREFIX: &str = "ce_";
/// The record header of `datacontenttype` (Kafka binding, section 3.2.1).
pub const CONTENT_TYPE: &str = "content-type";
