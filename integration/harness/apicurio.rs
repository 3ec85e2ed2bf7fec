//! Apicurio Registry, a schema registry with Confluent's API and a native one.

use crate::http::{self, Response};
use crate::process::Process;
use crate::{cache, eventually, free_port};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// A running registry. Its schemas survive a restart. Dropping it stops it and deletes them.
pub struct Apicurio {
    pub port: u16,
    process: Process,
    directory: TempDir,
}

/// The path of Confluent's API.
const CONFLUENT: &str = "/apis/ccompat/v7";
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

impl Apicurio {
    /// Returns a shared registry, for tests that do not stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Apicurio> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a registry and waits until it is up, which takes about 5 s.
    pub fn start() -> Self {
        let port = free_port();
        let directory = crate::shared_directory("apicurio");
        let process = launch(port, &directory);
        let mut registry = Self { port, process, directory };
        registry.wait_until_up();
        registry
    }

    /// Kills the registry with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the registry again on the same port.
    pub fn restart(&mut self) {
        self.process = launch(self.port, &self.directory);
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        eventually("the schema registry is up", Duration::from_secs(120), || {
            if let Some(status) = self.process.exited() {
                panic!("the schema registry exited with {status}: {}", self.process.end_of_log());
            }
            http::try_connect(self.port).map_err(|e| e.to_string())?;
            match http::get(self.port, &format!("{CONFLUENT}/subjects")) {
                Response { status: 200, .. } => Ok(()),
                other => Err(other.text()),
            }
        });
    }

    /// Returns the URL for `--schema-registry` and for clients of Confluent's API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{CONFLUENT}", self.port)
    }

    /// Calls Confluent's API.
    pub fn get(&self, path: &str) -> Response {
        http::get(self.port, &format!("{CONFLUENT}{path}"))
    }

    /// Registers a schema and returns its id. `schema` is an object with `schema` and, if not Avro, `schemaType`, and perhaps
    /// `references`.
    pub fn register(&self, subject: &str, schema: &Value) -> u32 {
        let path = format!("{CONFLUENT}/subjects/{subject}/versions");
        let answer = http::post(self.port, &path, MEDIA_TYPE, schema.to_string()).expect(200).json();
        answer["id"].as_u64().and_then(|id| id.try_into().ok()).unwrap_or_else(|| panic!("no id: {answer}"))
    }

    /// Registers an Avro schema and returns its id.
    pub fn register_avro(&self, subject: &str, schema: &Value) -> u32 {
        self.register(subject, &json!({"schema": schema.to_string()}))
    }
}

fn launch(port: u16, directory: &TempDir) -> Process {
    let mut java = Command::new(cache().join("schemas/java/bin/java"));
    java.args(["-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([
            format!("-Dquarkus.http.port={port}"),
            format!("-Dquarkus.management.port={}", free_port()),
            // Without a delay, a registered schema survives SIGKILL.
            format!(
                "-Dapicurio.datasource.url=jdbc:h2:file:{};WRITE_DELAY=0",
                directory.path().join("registry").display()
            ),
        ])
        .args(["-Dquarkus.http.host=127.0.0.1", "-Dquarkus.management.host=127.0.0.1"])
        .args(["-Dapicurio.datasource.jdbc.initial-size=2", "-Dapicurio.datasource.jdbc.min-size=2"])
        .arg("-jar")
        .arg(cache().join("apicurio/quarkus-run.jar"))
        .current_dir(directory.path());
    Process::start("Apicurio", java, &directory.path().join("apicurio.log"))
}
