//! nginx, Caddy and HAProxy in front of a bridge, with the recipes of `integration/proxies`.

use crate::process::Process;
use crate::{eventually, file, free_port, http};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
    HaProxy,
}

/// A proxy in the foreground that ends with the test.
pub struct WebProxy {
    pub port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Kind {
    /// The recipe, word for word.
    pub fn recipe(self) -> String {
        let name = match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
            Self::HaProxy => "haproxy.cfg",
        };
        std::fs::read_to_string(file("proxies").join(name)).expect("a recipe")
    }
}

/// What nginx needs around a recipe to run beside the system's own, in one process: workers outlive a master that is killed.
const AROUND: &str = "
daemon off;
master_process off;
pid FOLDER/pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    RECIPE
}
";

impl WebProxy {
    /// The recipe with the ports of this test in place of 8000 (the proxy's) and 8080 (the bridge's).
    pub fn start(kind: Kind, bridge: u16) -> Self {
        Self::with(kind, &with_port(&kind.recipe(), "8080", bridge))
    }

    /// Another configuration; it listens on 8000, for which the port of this test is put in.
    pub fn with(kind: Kind, recipe: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("curlew-proxy-").tempdir().expect("temp folder");
        let port = free_port();
        let recipe = with_port(recipe, "8000", port);
        let at = folder.path().join("proxy.conf");
        let mut command = match kind {
            Kind::Nginx => {
                let around = AROUND.replace("FOLDER", &folder.path().display().to_string());
                std::fs::write(&at, around.replace("RECIPE", &recipe)).expect("nginx.conf");
                let mut command = Command::new("nginx");
                command.arg("-p").arg(folder.path()).arg("-c").arg(&at);
                command
            }
            Kind::Caddy => {
                // The port of its administration would be the same for all.
                std::fs::write(&at, format!("{{\n\tadmin off\n}}\n{recipe}")).expect("Caddyfile");
                let mut command = Command::new("caddy");
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&at);
                command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
                command
            }
            Kind::HaProxy => {
                std::fs::write(&at, recipe).expect("haproxy.cfg");
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(&at);
                command
            }
        };
        // Debian keeps two of them where only root looks for programs.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        let process = Process::start("the proxy", command, &folder.path().join("log"));
        let limit = Duration::from_secs(20);
        eventually("the proxy listens", limit, || {
            http::try_connect(port).map_err(|e| format!("{e} {}", process.log()))
        });
        Self { port, _process: process, _folder: folder }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// `recipe` with `port` in place of the number `from`, but not of its digits within another number: 8000 in 28000.
fn with_port(recipe: &str, from: &str, port: u16) -> String {
    let mut parts = recipe.split(from);
    let mut out = parts.next().unwrap_or_default().to_owned();
    let is_digit = |c: char| c.is_ascii_digit();
    for part in parts {
        match out.ends_with(is_digit) || part.starts_with(is_digit) {
            true => out += from,
            false => out += &port.to_string(),
        }
        out += part;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::with_port;

    #[test]
    fn a_port_is_put_in_for_a_whole_number_only() {
        let recipe = "listen 8000; proxy_pass http://127.0.0.1:28000/; # :8000, 80001";
        let expected = "listen 31000; proxy_pass http://127.0.0.1:28000/; # :31000, 80001";
        assert_eq!(with_port(recipe, "8000", 31000), expected);
    }
}
