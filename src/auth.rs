//! Authentication and authorization: API keys, passwords, tokens and client certificates, and the rights that the
//! auth file (`--auth-file`) grants.
//!
//! [`Authenticator`] turns a [`Credential`] into a [`Permit`] with a [`ClientIdentity`] and its [`Rights`]. Without an
//! auth file every request is permitted and has no identity.

mod authenticator;
mod credential;
mod crypto;
mod file;
mod identity;
mod jwt;
mod keys;
mod load_error;
mod loader;
mod password;
mod password_check;
mod permit;
mod rights;
mod signed_token;
mod table;
mod watch;

pub use authenticator::{AuthOutcome, Authenticator, Revocation};
pub use credential::{BadCredential, Credential, cookie_name};
pub use crypto::{Digest, NoRandomBytes};
pub use file::{InvalidName, check_name};
pub use identity::ClientIdentity;
pub use keys::new_key;
pub use load_error::LoadError;
pub use password::{HashError, Password};
pub use permit::{Denied, Permit};
pub use rights::{InvalidTopicPattern, Right, Rights, TopicPattern};
pub use table::{AuthError, GrantEnd, OPEN_WITHIN, TicketUse};
pub use watch::AuthWatcher;
