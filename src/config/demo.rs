//! The settings of `curlew demo`, a subset of those of `serve`, and its temporary data directory.

use super::access::InsecureArgs;
use super::error_line::one_line;
use super::invalid_settings::InvalidSettings;
use super::{LogLevel, Serve, values};
use clap::{Args, FromArgMatches};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Demo {
    /// Address to listen on. Any other than loopback is reachable from the network.
    #[arg(long, env = "CURLEW_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8080",
          value_parser = values::listen)]
    listen: SocketAddr,

    #[command(flatten)]
    insecure: InsecureArgs,

    /// Level of the log on standard error.
    #[arg(long, env = "CURLEW_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: LogLevel,
}

impl Demo {
    /// Returns settings for `serve` with the embedded log in `dir`. Ignores settings of Kafka.
    pub fn serve(&self, dir: &DemoDir) -> Result<Serve, InvalidSettings> {
        let listen = self.listen.to_string();
        let mut arguments =
            vec!["demo".as_ref(), "--listen".as_ref(), listen.as_ref(), "--data".as_ref(), dir.0.as_os_str()];
        if self.insecure.insecure_no_auth {
            arguments.push("--insecure-no-auth".as_ref());
        }
        let matches = Serve::augment_args(clap::Command::new("demo")).try_get_matches_from(arguments);
        let serve = matches.and_then(|matches| Serve::from_arg_matches(&matches));
        let mut serve = serve.map_err(|error| InvalidSettings::Variable(one_line(&error)))?;
        serve.kafka.clear();
        serve.access.check(serve.listen)?;
        Ok(serve)
    }
}

/// A temporary data directory, which is removed when the value is dropped.
#[derive(Debug)]
pub struct DemoDir(PathBuf);

impl DemoDir {
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("curlew-demo-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        // Fails if the path exists. Another user may have created it.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Removes the directory. For a process that exits without running destructors.
    pub fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for DemoDir {
    fn drop(&mut self) {
        self.remove();
    }
}
