//! Programs that end with the test, whatever ends the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program. Its output goes to a file, whose end is shown when the test fails.
///
/// Killed when dropped. A test that is itself killed drops nothing, so a shell holds the other end
/// of a pipe of ours and kills the program when that closes without a word.
pub struct Process {
    name: String,
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its stdout and stderr added to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("log file");
        command.stdout(out.try_clone().expect("log file")).stderr(out);
        Self::start_with_own_output(name, command, log)
    }

    /// Starts `command` with stdin and stdout as it says.
    pub fn start_with_own_output(name: &str, mut command: Command, log: &Path) -> Self {
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

    /// `None` while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait")
    }

    /// Sends SIGTERM (`TERM`), SIGINT (`INT`), …
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill").success(), "cannot signal {}", self.name);
    }

    /// SIGTERM, then waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait(Duration::from_secs(30))
    }

    /// Waits for the end; panics when it does not come.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not end within {limit:?}\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL: no goodbye to anyone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Where each thread of a JVM is.
    pub fn stacks(&self) -> String {
        match Command::new("jstack").arg(self.id().to_string()).output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(e) => format!("no jstack: {e}"),
        }
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most resident memory so far, in KiB.
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Time on processors so far, in ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        let (_, after_name) = stat.rsplit_once(')').expect("a name");
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// What it wrote last.
    pub fn end_of_log(&self) -> String {
        let log = self.log();
        let start = log.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
        format!("---- end of the log of {} ----\n{}\n----", self.name, &log[start..])
    }

    /// All that it has written.
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
