//! What several tests share.
#![allow(dead_code)]

pub mod damage;
pub mod documented;
pub mod event_source;
pub mod exposition;
pub mod frames;
pub mod memory_broker;
pub mod served;
