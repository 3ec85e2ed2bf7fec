//! The routes; the only place that names warp.

pub mod event;
pub mod problem;
