//! Faults of a running cluster.

use crate::controller::Controller;
use crate::eventually;
use crate::java_client::JavaClient;
use crate::kafka::{Kafka, Node};
use serde_json::json;
use std::time::Duration;

/// Brokers have ids from 1.
impl Kafka {
    /// Stops a broker with SIGTERM: a controlled shutdown, which moves its leaders first.
    pub fn stop(&mut self, broker: usize) {
        if let Some(mut process) = self.nodes[broker - 1].process.take() {
            process.stop();
        }
    }

    /// Kills a broker with SIGKILL.
    pub fn kill(&mut self, broker: usize) {
        self.nodes[broker - 1].process = None;
    }

    /// Restarts a broker with the same ports and data. Returns once all running brokers have registered.
    pub fn restart(&mut self, broker: usize) {
        self.nodes[broker - 1].start();
        self.wait_until_ready(self.nodes.iter().filter(|n| n.process.is_some()).count());
    }

    /// Freezes a broker with SIGSTOP: the kernel still accepts connections, but nothing responds.
    pub fn freeze(&mut self, broker: usize) {
        self.signal(broker, "STOP");
    }

    pub fn thaw(&mut self, broker: usize) {
        self.signal(broker, "CONT");
    }

    fn signal(&self, broker: usize, signal: &str) {
        self.nodes[broker - 1].process.as_ref().expect("the broker is running").signal(signal);
    }

    /// Starts all stopped brokers at once.
    pub fn restart_all(&mut self) {
        self.nodes.iter_mut().filter(|node| node.process.is_none()).for_each(Node::start);
        self.wait_until_ready(self.nodes.len());
    }

    fn controller(&self) -> &Controller {
        self.controller.as_ref().expect("a controller apart")
    }

    /// Cuts a broker off from the controller. Clients and other brokers still reach it.
    pub fn cut_off(&self, broker: usize) {
        self.controller().cut_off(broker);
    }

    pub fn reconnect(&self, broker: usize) {
        self.controller().reconnect(broker);
    }

    /// Kills the controller with SIGKILL, so that there is no quorum.
    pub fn kill_controller(&mut self) {
        self.controller.as_mut().expect("a separate controller").kill();
    }

    pub fn start_controller(&mut self) {
        if let Some(controller) = &mut self.controller {
            controller.start(self.nodes[0].java());
        }
    }

    /// Waits until each partition of `topic` has this many in-sync replicas.
    pub fn wait_for_isr(&self, topic: &str, replicas: usize) {
        eventually("the replicas are in sync", Duration::from_secs(60), || {
            let request = self.with_bootstrap(json!({"do": "isr", "topic": topic}));
            let isr = JavaClient::shared().try_call(request)?;
            let full = isr.as_array().expect("list").iter().all(|isr| isr.as_array().expect("list").len() == replicas);
            if full { Ok(()) } else { Err(isr.to_string()) }
        });
    }
}
