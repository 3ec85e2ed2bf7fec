//! The Flask way: gunicorn with gevent, one kafka-python consumer for each stream (`flask/app.py`).

use crate::place::{Place, Publish};
use curlew_integration::process::Process;
use curlew_integration::{cache, eventually, file, free_port, http};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub struct Flask {
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl Flask {
    pub fn start(bootstrap: &str) -> Self {
        let folder = tempfile::tempdir().expect("temp folder");
        let port = free_port();
        let mut command = Command::new(cache().join("flask/bin/gunicorn"));
        command
            .args(["--worker-class", "gevent", "--workers", "1", "--worker-connections", "2000", "--timeout", "300"])
            .args(["--bind", &format!("127.0.0.1:{port}"), "--chdir"])
            .arg(file("bench/rivals/flask"))
            .arg("app:app")
            .env("BOOTSTRAP", bootstrap)
            // Nothing is left in the sources.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::start("gunicorn", command, &folder.path().join("log"));
        let flask = Self { port, process, _folder: folder };
        eventually("gunicorn is up", Duration::from_secs(20), || {
            http::try_connect(port).map_err(|e| e.to_string()).map(drop)?;
            flask.try_worker().ok_or_else(|| "no worker".to_owned())
        });
        flask
    }

    /// A topic, with records that come in by `publish`.
    pub fn place(&self, topic: &str, publish: Publish) -> Place {
        Place { port: self.port, listen: format!("/topics/{topic}/events"), ready: ": hi", publish }
    }

    /// Its one worker, which does everything.
    pub fn worker(&self) -> u32 {
        self.try_worker().expect("a worker")
    }

    fn try_worker(&self) -> Option<u32> {
        crate::usage::children(self.process.id()).first().copied()
    }
}
