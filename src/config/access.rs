//! Authentication settings, and the check that an unauthenticated bridge is not exposed to a network by mistake.

use super::invalid_settings::InvalidSettings;
use clap::{Args, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct AccessArgs {
    /// TOML file of keys and tokens with their rights; without it, every client has all rights.
    ///
    /// `curlew key new` creates a key and its entry. The file is reloaded when it changes, and on SIGHUP.
    #[arg(long, help_heading = "Security", env = "CURLEW_AUTH_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub auth_file: Option<PathBuf>,

    #[command(flatten)]
    pub insecure: InsecureArgs,
}

#[derive(Debug, Args)]
pub struct InsecureArgs {
    /// Allow listening on a non-loopback address without --auth-file, which gives every client all rights.
    #[arg(long, help_heading = "Security", env = "CURLEW_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,
}

impl AccessArgs {
    /// Rejects a non-loopback address without authentication, except with --insecure-no-auth.
    pub fn check(&self, listen: SocketAddr) -> Result<(), InvalidSettings> {
        if listen.ip().is_loopback() || self.auth_file.is_some() || self.insecure.insecure_no_auth {
            Ok(())
        } else {
            Err(InvalidSettings::Unauthenticated { listen })
        }
    }
}
