//! What can happen to a running cluster.

use crate::controller::Controller;
use crate::eventually;
use crate::foreign::Foreign;
use crate::kafka::{Kafka, Node};
use serde_json::json;
use std::time::Duration;

/// Brokers count from 1.
impl Kafka {
    /// SIGTERM: a controlled shutdown, which moves leaders first.
    pub fn stop(&mut self, broker: usize) {
        if let Some(mut process) = self.nodes[broker - 1].process.take() {
            process.stop();
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self, broker: usize) {
        self.nodes[broker - 1].process = None;
    }

    /// On the same ports with the same data; returns when all running brokers are there.
    pub fn start_again(&mut self, broker: usize) {
        self.nodes[broker - 1].start();
        self.wait_until_ready(self.nodes.iter().filter(|n| n.process.is_some()).count());
    }

    /// SIGSTOP: the kernel still accepts connections, and nothing answers.
    pub fn freeze(&mut self, broker: usize) {
        self.signal(broker, "STOP");
    }

    pub fn thaw(&mut self, broker: usize) {
        self.signal(broker, "CONT");
    }

    fn signal(&self, broker: usize, signal: &str) {
        self.nodes[broker - 1].process.as_ref().expect("the broker runs").signal(signal);
    }

    /// Starts all brokers that do not run, at once.
    pub fn start_all_again(&mut self) {
        self.nodes.iter_mut().filter(|node| node.process.is_none()).for_each(Node::start);
        self.wait_until_ready(self.nodes.len());
    }

    fn controller(&self) -> &Controller {
        self.controller.as_ref().expect("a controller apart")
    }

    /// Cuts a broker off from the controller; clients and other brokers still reach it.
    pub fn cut_off(&self, broker: usize) {
        self.controller().cut_off(broker);
    }

    pub fn connect_again(&self, broker: usize) {
        self.controller().connect_again(broker);
    }

    /// SIGKILL: no quorum any more.
    pub fn kill_controller(&mut self) {
        self.controller.as_mut().expect("a controller apart").kill();
    }

    pub fn start_controller(&mut self) {
        if let Some(controller) = &mut self.controller {
            controller.start(self.nodes[0].java());
        }
    }

    /// Waits until each partition of `topic` has so many in-sync replicas.
    pub fn wait_for_isr(&self, topic: &str, replicas: usize) {
        eventually("the replicas are in sync", Duration::from_secs(60), || {
            let asked = self.addressed(json!({"do": "isr", "topic": topic}));
            let isr = Foreign::shared().try_call(asked)?;
            let full = isr.as_array().expect("list").iter().all(|isr| isr.as_array().expect("list").len() == replicas);
            if full { Ok(()) } else { Err(isr.to_string()) }
        });
    }
}
