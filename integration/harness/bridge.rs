//! The real `curlew` binary.

use crate::http;
use crate::process::Process;
use crate::{eventually, free_port};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The binary under test: `$CURLEW_BIN`, else the newest that cargo has built.
pub fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("CURLEW_BIN") {
        return given.into();
    }
    let target = crate::file("../target");
    ["x86_64-unknown-linux-musl/release", "release", "debug"]
        .iter()
        .map(|folder| target.join(folder).join("curlew"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .expect("build curlew first, or set CURLEW_BIN")
        .1
}

/// `curlew` with no settings from outside.
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

/// Runs `curlew` to its end, which must come within a minute.
pub fn run(arguments: &[&str]) -> Output {
    run_with_input(arguments, b"")
}

pub fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("60").arg(binary()).args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CURLEW_")) {
        command.env_remove(name);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("timeout");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, &input)));
    let output = child.wait_with_output().expect("wait");
    let _ = writer.join();
    assert_ne!(output.status.code(), Some(124), "curlew {arguments:?} did not end: {output:?}");
    output
}

/// `curlew serve` on a port of its own.
pub struct Bridge {
    pub port: u16,
    arguments: Vec<String>,
    process: Process,
    folder: TempDir,
    open_files: OpenFiles,
}

/// How many files a bridge may have open.
#[derive(Debug, Clone, Copy)]
enum OpenFiles {
    /// As many as this process.
    Inherited,
    AtMost(u32),
}

impl Bridge {
    /// Serves the brokers of `bootstrap`; returns when `/health` answers.
    pub fn start(bootstrap: &str) -> Self {
        Self::start_with(bootstrap, &[])
    }

    pub fn start_with(bootstrap: &str, options: &[&str]) -> Self {
        Self::serve(&[&["--kafka", bootstrap], options].concat())
    }

    /// Serves the topics in the folder `data`.
    pub fn embedded(data: &std::path::Path, options: &[&str]) -> Self {
        Self::serve(&[&["--data", data.to_str().expect("UTF-8")], options].concat())
    }

    /// The same under `ulimit -n` of so many.
    pub fn embedded_with_open_files(open_files: u32, data: &std::path::Path, options: &[&str]) -> Self {
        let options = [&["--data", data.to_str().expect("UTF-8")], options].concat();
        Self::run("serve", &options, OpenFiles::AtMost(open_files))
    }

    /// `curlew demo`.
    pub fn demo() -> Self {
        Self::run("demo", &[], OpenFiles::Inherited)
    }

    /// With these options and no other.
    pub fn serve(options: &[&str]) -> Self {
        Self::run("serve", options, OpenFiles::Inherited)
    }

    fn run(command: &str, options: &[&str], open_files: OpenFiles) -> Self {
        let port = free_port();
        let mut arguments: Vec<String> = [command, "--listen", &format!("127.0.0.1:{port}")].map(String::from).to_vec();
        arguments.extend(options.iter().map(|o| (*o).to_owned()));
        let folder = tempfile::Builder::new().prefix("curlew-bridge-").tempdir().expect("temp folder");
        let process = Self::launch(&arguments, &folder, open_files);
        let mut bridge = Self { port, arguments, process, folder, open_files };
        bridge.wait_until_up();
        bridge
    }

    fn launch(arguments: &[String], folder: &TempDir, open_files: OpenFiles) -> Process {
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
        Process::start("curlew serve", command, &folder.path().join("curlew.log"))
    }

    fn wait_until_up(&mut self) {
        let port = self.port;
        eventually("curlew serve is up", Duration::from_secs(20), || {
            if let Some(status) = self.process.exited() {
                panic!("curlew serve ended with {status}: {}", self.process.log());
            }
            http::try_connect(port).map_err(|e| e.to_string())
        });
        if !self.arguments.iter().any(|argument| argument == "--tls-cert") {
            http::get(port, "/health").expect(200);
        }
    }

    /// SIGKILL, then a new one on the same port.
    pub fn kill_and_start_again(&mut self) {
        self.process.kill();
        self.process = Self::launch(&self.arguments, &self.folder, self.open_files);
        self.wait_until_up();
    }

    /// SIGTERM; returns its exit code.
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
