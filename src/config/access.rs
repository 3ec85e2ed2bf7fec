//! Access settings, and the check against opening an unauthenticated bridge to a network by mistake.

use clap::{Args, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Access {
    /// TOML file of keys and tokens with their rights; without it, every client has all rights.
    ///
    /// `curlew key new` creates a key and its entry. The file is reloaded when it changes, and on SIGHUP.
    #[arg(long, help_heading = "Security", env = "CURLEW_AUTH_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub auth_file: Option<PathBuf>,

    #[command(flatten)]
    pub insecure: Insecure,
}

#[derive(Debug, Args)]
pub struct Insecure {
    /// Allow listening on a non-loopback address without --auth-file, which gives every client all rights.
    #[arg(long, help_heading = "Security", env = "CURLEW_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,
}

impl Access {
    /// Rejects a non-loopback address without authentication, unless that is requested explicitly.
    pub fn check(&self, listen: SocketAddr) -> Result<(), String> {
        if listen.ip().is_loopback() || self.auth_file.is_some() || self.insecure.insecure_no_auth {
            return Ok(());
        }
        Err(format!(
            "on {listen} the bridge is reachable from the network, and without --auth-file every client may read and write every \
             topic; give --auth-file FILE (`curlew key new` creates a key for it), or --insecure-no-auth if that is intended, \
             such as behind an authenticating proxy"
        ))
    }
}
