//! Runs the image that the Dockerfile describes without a Docker engine: parses its lines and assembles the root file
//! system.

use crate::file;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An image based on `scratch` that runs one program.
#[derive(Debug, Default)]
pub struct Image {
    copies: Vec<(PathBuf, PathBuf)>,
    environment: Vec<(String, String)>,
    pub user: String,
    pub volumes: Vec<PathBuf>,
    pub ports: Vec<u16>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub health: Vec<String>,
}

impl Image {
    /// Parses the Dockerfile of the repository. Panics at an unknown instruction.
    pub fn from_dockerfile() -> Self {
        let text = std::fs::read_to_string(file("../Dockerfile")).expect("Dockerfile");
        let mut image = Self::default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let (word, rest) = line.split_once(' ').expect("an instruction and its arguments");
            let rest = rest.replace("${TARGETARCH}", "amd64");
            match word {
                "FROM" => assert_eq!(rest, "scratch", "the image has no base"),
                "ARG" => {}
                "COPY" => {
                    let paths: Vec<&str> = rest.split(' ').filter(|part| !part.starts_with("--")).collect();
                    let [from, to] = paths[..] else { panic!("{line}") };
                    image.copies.push((from.into(), to.into()));
                }
                "ENV" => {
                    let (name, value) = rest.split_once('=').expect("NAME=VALUE");
                    image.environment.push((name.to_owned(), value.to_owned()));
                }
                "USER" => image.user = rest,
                "VOLUME" => image.volumes.push(rest.into()),
                "EXPOSE" => image.ports.push(rest.parse().expect("a port")),
                "HEALTHCHECK" => image.health = words(rest.split_once("CMD ").expect("a command").1),
                "ENTRYPOINT" => image.entrypoint = words(&rest),
                "CMD" => image.command = words(&rest),
                other => panic!("unknown instruction {other}: {line}"),
            }
        }
        image
    }

    /// Assembles the root file system in `root`. `binary` replaces the binaries of `make dist`.
    pub fn assemble(&self, root: &Path, binary: &Path) {
        let uid = self.user.split(':').next().expect("a user");
        for (from, to) in &self.copies {
            let source = match from.starts_with("target") {
                true => binary.to_owned(),
                false => file("..").join(from),
            };
            let target = root.join(to.strip_prefix("/").expect("from the root"));
            succeed(Command::new("cp").arg("-r").arg(source).arg(&target));
            if self.volumes.contains(to) {
                succeed(Command::new("chown").arg("-R").arg(uid).arg(&target));
            }
        }
    }

    /// Returns a command that runs `words` in `root` as the image's user, with its environment and `more`. The root is
    /// read-only except for the volumes. Requires root privileges, which the program itself does not have.
    pub fn run(&self, root: &Path, words: &[String], more: &[(&str, &str)]) -> Command {
        // Bind mounts in a mount namespace of this program, which ends with the program.
        let mut script = "mount --bind \"$0\" \"$0\" && ".to_owned();
        for volume in &self.volumes {
            let volume = volume.strip_prefix("/").expect("from the root").display();
            script += &format!("mount --bind \"$0/{volume}\" \"$0/{volume}\" && ");
        }
        script += "mount -o remount,ro,bind \"$0\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(root);
        command.args(["env", "-i"]);
        let own = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        command.args(own.chain(more.iter().copied()).map(|(name, value)| format!("{name}={value}")));
        command.args(["/usr/sbin/chroot", &format!("--userspec={}", self.user)]).arg(root).args(words);
        command
    }
}

/// Parses the exec form `["a", "b"]`, which needs no shell.
fn words(json: &str) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_str(json).expect("a JSON list, because the image has no shell");
    list.iter().map(|word| word.as_str().expect("text").to_owned()).collect()
}

fn succeed(command: &mut Command) {
    let output = command.output().expect("started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
