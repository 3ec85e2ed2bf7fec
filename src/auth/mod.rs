//! Who may do what: keys, tokens and their rights, from the file of `--auth-file`.
//!
//! [`Credential`] is what somebody shows, [`Permit`] what they get for it, [`Identity`] who they are. Without a file
//! there is nothing to show and everything is permitted.

mod credential;
mod door;
mod file;
mod guess;
mod identity;
mod jwt;
mod keys;
mod pass;
mod password;
mod permit;
mod reading;
mod rights;
mod secret;
mod table;
mod watch;

pub use credential::{Credential, Unreadable, cookie};
pub use door::{Answered, Auth, Over};
pub use file::check_name;
pub use identity::Identity;
pub use keys::new_key;
pub use password::Password;
pub use permit::{Denied, Permit};
pub use rights::{Pattern, Right, Rights};
pub use secret::{Digest, Secret};
pub use table::{Arrival, Ended, OPEN_WITHIN, Refused};
pub use watch::Watch;
