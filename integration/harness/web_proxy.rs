//! nginx, Caddy and HAProxy in front of a bridge, configured by the recipes in `integration/proxies`.

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

/// A proxy in the foreground, which ends with the test.
pub struct WebProxy {
    pub port: u16,
    _process: Process,
    _directory: TempDir,
}

impl Kind {
    /// Returns the text of the recipe.
    pub fn recipe(self) -> String {
        let name = match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
            Self::HaProxy => "haproxy.cfg",
        };
        std::fs::read_to_string(file("proxies").join(name)).expect("a recipe")
    }
}

/// The nginx configuration around a recipe. It runs beside nginx as a service, and in a single process: worker
/// processes would outlive a killed master.
const NGINX_CONFIG: &str = "
daemon off;
master_process off;
pid DIRECTORY/pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path DIRECTORY/body;
    proxy_temp_path DIRECTORY/proxy;
    fastcgi_temp_path DIRECTORY/fastcgi;
    uwsgi_temp_path DIRECTORY/uwsgi;
    scgi_temp_path DIRECTORY/scgi;
    RECIPE
}
";

impl WebProxy {
    /// Starts a proxy with the recipe. The ports 8000 (proxy) and 8080 (bridge) are replaced.
    pub fn start(kind: Kind, bridge: u16) -> Self {
        Self::with(kind, &with_port(&kind.recipe(), "8080", bridge))
    }

    /// Starts a proxy with another configuration, in which port 8000 is replaced.
    pub fn with(kind: Kind, recipe: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("curlew-proxy-").tempdir().expect("temporary directory");
        let port = free_port();
        let recipe = with_port(recipe, "8000", port);
        let at = directory.path().join("proxy.conf");
        let mut command = match kind {
            Kind::Nginx => {
                let around = NGINX_CONFIG.replace("DIRECTORY", &directory.path().display().to_string());
                std::fs::write(&at, around.replace("RECIPE", &recipe)).expect("nginx.conf");
                let mut command = Command::new("nginx");
                command.arg("-p").arg(directory.path()).arg("-c").arg(&at);
                command
            }
            Kind::Caddy => {
                // All instances would use the same admin port.
                std::fs::write(&at, format!("{{\n\tadmin off\n}}\n{recipe}")).expect("Caddyfile");
                let mut command = Command::new("caddy");
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&at);
                command.env("XDG_DATA_HOME", directory.path()).env("XDG_CONFIG_HOME", directory.path());
                command
            }
            Kind::HaProxy => {
                std::fs::write(&at, recipe).expect("haproxy.cfg");
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(&at);
                command
            }
        };
        // Debian installs two of the programs in a directory that is only in root's PATH.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        let process = Process::start("the proxy", command, &directory.path().join("log"));
        let limit = Duration::from_secs(20);
        eventually("the proxy listens", limit, || {
            http::try_connect(port).map_err(|e| format!("{e} {}", process.log()))
        });
        Self { port, _process: process, _directory: directory }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// Replaces the port `from` by `port`, except where it is part of a longer number, such as 8000 in 28000.
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
    fn only_complete_port_numbers_are_replaced() {
        let recipe = "listen 8000; proxy_pass http://127.0.0.1:28000/; # :8000, 80001";
        let expected = "listen 31000; proxy_pass http://127.0.0.1:28000/; # :31000, 80001";
        assert_eq!(with_port(recipe, "8000", 31000), expected);
    }
}
