//! Flask: gunicorn with gevent and one kafka-python consumer per stream (`flask/app.py`).

use crate::endpoint::{Publish, StreamEndpoint};
use curlew_integration::process::Process;
use curlew_integration::{cache, eventually, file, free_port, http};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub struct Flask {
    port: u16,
    process: Process,
    _directory: TempDir,
}

impl Flask {
    pub fn start(bootstrap: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let port = free_port();
        let mut command = Command::new(cache().join("flask/bin/gunicorn"));
        command
            .args(["--worker-class", "gevent", "--workers", "1", "--worker-connections", "2000", "--timeout", "300"])
            .args(["--bind", &format!("127.0.0.1:{port}"), "--chdir"])
            .arg(file("bench/rivals/flask"))
            .arg("app:app")
            .env("BOOTSTRAP", bootstrap)
            // Keeps bytecode files out of the source directory.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::start("gunicorn", command, &directory.path().join("log"));
        let flask = Self { port, process, _directory: directory };
        eventually("gunicorn is up", Duration::from_secs(20), || {
            http::try_connect(port).map_err(|e| e.to_string()).map(drop)?;
            flask.try_worker().ok_or_else(|| "no worker".to_owned())
        });
        flask
    }

    /// Returns the endpoint of a topic. Records are published through `publish`.
    pub fn endpoint(&self, topic: &str, publish: Publish) -> StreamEndpoint {
        StreamEndpoint { port: self.port, target: format!("/topics/{topic}/events"), ready: ": hi", publish }
    }

    /// Returns the process id of the only worker, which does all the work.
    pub fn worker(&self) -> u32 {
        self.try_worker().expect("a worker")
    }

    fn try_worker(&self) -> Option<u32> {
        crate::usage::children(self.process.id()).first().copied()
    }
}
