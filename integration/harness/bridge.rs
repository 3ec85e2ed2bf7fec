//! The real `curlew` binary.

use crate::http;
use crate::process::{Process, output_with_input};
use crate::{eventually, free_port};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The binary under test: `$CURLEW_BIN`, or the most recent build of cargo.
pub fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("CURLEW_BIN") {
        return given.into();
    }
    let target = crate::file("../target");
    ["x86_64-unknown-linux-musl/release", "release", "debug"]
        .iter()
        .map(|directory| target.join(directory).join("curlew"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .expect("build curlew first, or set CURLEW_BIN")
        .1
}

/// Returns a command that runs `curlew` without settings from the environment.
pub fn curlew(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CURLEW_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs `curlew` until it exits. Panics if that takes more than a minute.
pub fn run(arguments: &[&str]) -> Output {
    run_with_input(arguments, b"")
}

/// Returns a new key of a client with all rights, and its lines for an auth file.
pub fn new_key(name: &str) -> (String, String) {
    let made = String::from_utf8(run(&["key", "new", "--name", name]).stdout).expect("UTF-8");
    let (key, lines) = made.split_once('\n').expect("a key and its lines");
    (key.to_owned(), lines.to_owned())
}

pub fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("60").arg(binary()).args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CURLEW_")) {
        command.env_remove(name);
    }
    let output = output_with_input(command.stderr(Stdio::piped()), input);
    assert_ne!(output.status.code(), Some(124), "curlew {arguments:?} did not exit: {output:?}");
    output
}

/// A running `curlew serve` with a free port and a temporary directory.
pub struct Bridge {
    pub port: u16,
    arguments: Vec<String>,
    process: Process,
    directory: TempDir,
    open_files: OpenFiles,
}

/// The limit of open files of a bridge.
#[derive(Debug, Clone, Copy)]
enum OpenFiles {
    /// The limit of this process.
    Inherited,
    AtMost(u32),
}

impl Bridge {
    /// Serves the Kafka cluster at `bootstrap`. Returns once `/health` responds.
    pub fn start(bootstrap: &str) -> Self {
        Self::start_with(bootstrap, &[])
    }

    pub fn start_with(bootstrap: &str, options: &[&str]) -> Self {
        Self::serve(&[&["--kafka", bootstrap], options].concat())
    }

    /// Serves the topics stored in the directory `data`.
    pub fn embedded(data: &std::path::Path, options: &[&str]) -> Self {
        Self::serve(&[&["--data", data.to_str().expect("UTF-8")], options].concat())
    }

    /// Like [`embedded`](Self::embedded), under `ulimit -n`.
    pub fn embedded_with_open_files(open_files: u32, data: &std::path::Path, options: &[&str]) -> Self {
        let options = [&["--data", data.to_str().expect("UTF-8")], options].concat();
        Self::run("serve", &options, OpenFiles::AtMost(open_files))
    }

    /// Runs `curlew demo`.
    pub fn demo() -> Self {
        Self::run("demo", &[], OpenFiles::Inherited)
    }

    /// Runs `curlew serve` with these options only.
    pub fn serve(options: &[&str]) -> Self {
        Self::run("serve", options, OpenFiles::Inherited)
    }

    fn run(command: &str, options: &[&str], open_files: OpenFiles) -> Self {
        let port = free_port();
        let mut arguments: Vec<String> = [command, "--listen", &format!("127.0.0.1:{port}")].map(String::from).to_vec();
        arguments.extend(options.iter().map(|o| (*o).to_owned()));
        let directory = tempfile::Builder::new().prefix("curlew-bridge-").tempdir().expect("temporary directory");
        let process = Self::launch(&arguments, &directory, open_files);
        let mut bridge = Self { port, arguments, process, directory, open_files };
        bridge.wait_until_up();
        bridge
    }

    fn launch(arguments: &[String], directory: &TempDir, open_files: OpenFiles) -> Process {
        let mut command = curlew(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        if let OpenFiles::AtMost(most) = open_files {
            let own = command;
            command = Command::new("sh");
            command.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]);
            command.arg(own.get_program()).args(own.get_args()).stdin(Stdio::null());
            for (name, _) in own.get_envs() {
                command.env_remove(name);
            }
        }
        Process::start("curlew serve", command, &directory.path().join("curlew.log"))
    }

    fn wait_until_up(&mut self) {
        let port = self.port;
        eventually("curlew serve is up", Duration::from_secs(20), || {
            if let Some(status) = self.process.exited() {
                panic!("curlew serve exited with {status}: {}", self.process.log());
            }
            http::try_connect(port).map_err(|e| e.to_string())
        });
        if !self.arguments.iter().any(|argument| argument == "--tls-cert") {
            http::get(port, "/health").expect(200);
        }
    }

    /// Kills the bridge with SIGKILL and starts it again on the same port.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = Self::launch(&self.arguments, &self.directory, self.open_files);
        self.wait_until_up();
    }

    /// Stops the bridge with SIGTERM and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.process.stop().code()
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn get(&self, target: &str) -> http::Response {
        http::get(self.port, target)
    }

    pub fn post(&self, target: &str, content_type: &str, body: impl AsRef<[u8]>) -> http::Response {
        http::post(self.port, target, content_type, body)
    }

    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> http::Response {
        http::request(self.port, method, target, headers, body)
    }

    pub fn events(&self, target: &str) -> crate::sse::Stream {
        crate::sse::Stream::open(self.port, target)
    }
}
