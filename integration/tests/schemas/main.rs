//! Records with schemas: the real binary against a real schema registry, with the serializers of others.
//!
//! One program, so that its suites share the registry, the broker and the Java client.

mod consume;
mod produce;
mod protobuf;
mod registry;
mod tls;
mod values;
