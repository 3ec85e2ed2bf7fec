//! Storing records with Flask: gunicorn with threads, and an SQLite transaction per request (`flask/durable.py`).

use curlew_integration::process::Process;
use curlew_integration::{cache, eventually, file, free_port, http};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The number of connections, so that no request waits for a thread.
const THREADS: &str = "64";

pub struct Sqlite {
    pub port: u16,
    _process: Process,
}

impl Sqlite {
    /// Creates `directory` and stores the database there.
    pub fn start(directory: &Path) -> Self {
        std::fs::create_dir(directory).expect("a directory");
        let directory = directory.canonicalize().expect("a directory");
        let port = free_port();
        let mut command = Command::new(cache().join("flask/bin/gunicorn"));
        command
            .args(["--worker-class", "gthread", "--workers", "1", "--threads", THREADS, "--keep-alive", "75"])
            .args(["--bind", &format!("127.0.0.1:{port}"), "--chdir"])
            .arg(file("bench/rivals/flask"))
            .arg("durable:app")
            .env("DATABASE", directory.join("records.sqlite"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::start("gunicorn", command, &directory.join("log"));
        eventually("gunicorn is up", Duration::from_secs(20), || {
            http::try_connect(port).map_err(|e| e.to_string())?;
            Ok(())
        });
        http::post(port, "/topics/warm", "text/plain", "up").expect(200);
        Self { port, _process: process }
    }
}
