//! Programs that end with the test, even if the test is killed.

use crate::{cache, file};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs `command` until it exits, with `input` as its stdin, and returns its output. The input is written at the same time,
/// because a program may block on its output before it has read everything.
pub fn output_with_input(command: &mut Command, input: &[u8]) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("stdin");
    std::thread::scope(|scope| {
        // A program that exits early has a status that says so.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("wait")
    })
}

/// Runs a Python script of `clients/` that uses Confluent's client of a schema registry. The client waits for a response for ever,
/// and Apicurio 3.3.3 was seen to give none to one of some thousands of requests, so a script may take a minute, twice.
pub fn confluent_client(script: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("60").arg(cache().join("schemas/bin/python")).arg(file(script)).args(arguments);
    let output = output_with_input(&mut command, input);
    // The exit code of `timeout`.
    if output.status.code() == Some(124) { output_with_input(&mut command, input) } else { output }
}

/// A running program. Its output goes to a file, whose last lines are printed if the test fails.
///
/// Dropping it kills the program. If the test itself is killed, nothing is dropped. Therefore a shell reads from a pipe
/// that this process holds open, and kills the program when the pipe closes without a word.
pub struct Process {
    name: String,
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, and appends its stdout and stderr to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("log file");
        command.stdout(out.try_clone().expect("log file")).stderr(out);
        Self::start_with_stdio(name, command, log)
    }

    /// Starts `command` with the stdin, stdout and stderr that it configures.
    pub fn start_with_stdio(name: &str, mut command: Command, log: &Path) -> Self {
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name} ({command:?}): {e}"));
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg(format!("read word; [ \"$word\" = done ] || kill -9 {}", child.id()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        Self { name: name.to_owned(), child, watchdog, log: log.to_owned() }
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the exit status, or `None` while the program runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait")
    }

    /// Sends a signal, such as `TERM` or `INT`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill").success(), "cannot signal {}", self.name);
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait(Duration::from_secs(30))
    }

    /// Waits for the exit. Panics after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not exit within {limit:?}\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the program with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Returns the stacks of a JVM's threads.
    pub fn stacks(&self) -> String {
        match Command::new("jstack").arg(self.id().to_string()).output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(e) => format!("no jstack: {e}"),
        }
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// Peak resident memory in KiB.
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// CPU time in ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("the process runs");
        let (_, after_name) = stat.rsplit_once(')').expect("a name");
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// Returns the end of the log.
    pub fn end_of_log(&self) -> String {
        let log = self.log();
        let start = log.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
        format!("---- end of the log of {} ----\n{}\n----", self.name, &log[start..])
    }

    /// Returns the complete log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut stdin) = self.watchdog.stdin.take() {
            let _ = std::io::Write::write_all(&mut stdin, b"done\n");
        }
        let _ = self.watchdog.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.end_of_log());
        }
    }
}
