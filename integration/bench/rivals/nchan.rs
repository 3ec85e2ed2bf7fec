//! nginx with Nchan, from Debian's packages: a message in by POST, out to every EventSource.

use crate::place::{Place, Publish};
use crate::usage::children;
use curlew_integration::process::Process;
use curlew_integration::{eventually, free_port, http};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Messages that it keeps for slow listeners; with fewer they would lose some of a flood.
const KEPT: u64 = 20_000;
/// Messages that it is given in a second at most. Its ids count those of one second in 15 bits, and it loses what comes
/// beyond them (measured).
pub const A_SECOND: f64 = 30_000.0;

/// One worker: the load generator needs the other core. A second one was not tried.
const CONFIG: &str = "
load_module modules/ngx_nchan_module.so;
user root root;
daemon off;
pid FOLDER/pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 19500; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
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
    _folder: TempDir,
}

impl Nchan {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("curlew-nchan-").tempdir().expect("temp folder");
        let port = free_port();
        let config = CONFIG
            .replace("FOLDER", &folder.path().display().to_string())
            .replace("PORT", &port.to_string())
            .replace("KEPT", &KEPT.to_string());
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).expect("nginx.conf");
        let mut command = Command::new("nginx");
        // Debian's modules lie where nginx was built to look for them.
        command.arg("-p").arg("/usr/share/nginx").arg("-c").arg(&file);
        let process = Process::start("nginx", command, &folder.path().join("log"));
        eventually("nginx is up", Duration::from_secs(5), || http::try_connect(port).map_err(|e| e.to_string()));
        Self { port, process, _folder: folder }
    }

    /// A channel that nobody has used.
    pub fn place(&self) -> Place {
        let channel = curlew_integration::fresh_topic("bench");
        let listen = format!("/events?channel={channel}");
        Place { port: self.port, listen, ready: ": hi", publish: Publish::Nchan { port: self.port, channel } }
    }

    /// Its one worker, which does everything.
    pub fn worker(&self) -> u32 {
        *children(self.process.id()).first().expect("a worker")
    }
}
