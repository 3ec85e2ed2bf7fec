//! Who may use the bridge, and the refusal to let everybody do so by mistake.

use clap::{Args, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Access {
    /// Who may do what, in TOML: keys and tokens with their rights; without it, everybody may do everything.
    ///
    /// `curlew key new` makes a key and its lines. The file is read anew when it changes, and on SIGHUP.
    #[arg(long, help_heading = "Security", env = "CURLEW_AUTH_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub auth_file: Option<PathBuf>,

    #[command(flatten)]
    pub insecure: Insecure,
}

#[derive(Debug, Args)]
pub struct Insecure {
    /// Let everybody who reaches another address than loopback do everything, without --auth-file.
    #[arg(long, help_heading = "Security", env = "CURLEW_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,
}

impl Access {
    /// That nobody opens a bridge to a network unawares.
    pub fn check(&self, listen: SocketAddr) -> Result<(), String> {
        if listen.ip().is_loopback() || self.auth_file.is_some() || self.insecure.insecure_no_auth {
            return Ok(());
        }
        Err(format!(
            "on {listen} others in the network reach the bridge, and without --auth-file all of them may read and write every \
             topic; give --auth-file FILE (`curlew key new` makes a key for it), or --insecure-no-auth where that is meant, \
             such as behind a proxy that asks who comes"
        ))
    }
}
