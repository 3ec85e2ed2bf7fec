//! nginx with Nchan, from Debian's packages: messages are published with POST and delivered to all EventSources.

use crate::endpoint::{Publish, StreamEndpoint};
use crate::usage::children;
use curlew_integration::process::Process;
use curlew_integration::{eventually, free_port, http};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Messages kept for slow subscribers. With fewer, they would lose messages when publishing is fast.
const KEPT: u64 = 20_000;
/// Maximum number of messages published per second. Nchan numbers the messages of a second with 15 bits, and loses
/// messages beyond that (measured).
pub const MAX_PER_SECOND: f64 = 30_000.0;

/// One worker, because the load generator uses the other core. Two workers were not tried.
const CONFIG: &str = "
load_module modules/ngx_nchan_module.so;
user root root;
daemon off;
pid DIRECTORY/pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 19500; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path DIRECTORY/body;
    proxy_temp_path DIRECTORY/proxy;
    fastcgi_temp_path DIRECTORY/fastcgi;
    uwsgi_temp_path DIRECTORY/uwsgi;
    scgi_temp_path DIRECTORY/scgi;
    nchan_shared_memory_size 512M;
    server {
        listen 127.0.0.1:PORT backlog=4096;
        location = /publish {
            nchan_publisher http;
            nchan_channel_id $arg_channel;
            nchan_message_buffer_length KEPT;
            nchan_message_timeout 10m;
        }
        location = /events {
            nchan_subscriber eventsource;
            nchan_channel_id $arg_channel;
            nchan_subscriber_first_message newest;
        }
    }
}
";

pub struct Nchan {
    pub port: u16,
    process: Process,
    _directory: TempDir,
}

impl Nchan {
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("curlew-nchan-").tempdir().expect("temporary directory");
        let port = free_port();
        let config = CONFIG
            .replace("DIRECTORY", &directory.path().display().to_string())
            .replace("PORT", &port.to_string())
            .replace("KEPT", &KEPT.to_string());
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config).expect("nginx.conf");
        let mut command = Command::new("nginx");
        // Debian installs the modules where its nginx looks for them.
        command.arg("-p").arg("/usr/share/nginx").arg("-c").arg(&file);
        let process = Process::start("nginx", command, &directory.path().join("log"));
        eventually("nginx is up", Duration::from_secs(5), || http::try_connect(port).map_err(|e| e.to_string()));
        Self { port, process, _directory: directory }
    }

    /// Returns an unused channel.
    pub fn endpoint(&self) -> StreamEndpoint {
        let channel = curlew_integration::fresh_topic("bench");
        let target = format!("/events?channel={channel}");
        StreamEndpoint { port: self.port, target, ready: ": hi", publish: Publish::Nchan { port: self.port, channel } }
    }

    /// Returns the process id of the only worker, which does all the work.
    pub fn worker(&self) -> u32 {
        *children(self.process.id()).first().expect("a worker")
    }
}
