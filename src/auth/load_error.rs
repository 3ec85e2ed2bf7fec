//! Errors of loading the auth file and the files that it names.

use super::crypto::NoRandomBytes;
use super::file::AuthFileError;
use super::jwt::{FetcherError, KeySetError};
use super::table::TableError;
use crate::tls::PemError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// The auth file, or a file that it names, cannot be loaded. Displayed on one line, for the operator.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error(transparent)]
    Random(#[from] NoRandomBytes),
    #[error(transparent)]
    Unreadable(#[from] UnreadableFile),
    #[error("{}: {fault}", path.display())]
    Invalid {
        /// The auth file.
        path: PathBuf,
        #[source]
        fault: LoadFault,
    },
}

/// An auth file that can be read, but not used.
#[derive(Debug, Error)]
pub enum LoadFault {
    #[error(transparent)]
    File(#[from] AuthFileError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("jwt {name:?}: {fault}")]
    Issuer {
        name: String,
        #[source]
        fault: IssuerKeysError,
    },
}

/// The keys of an issuer cannot be loaded.
#[derive(Debug, Error)]
pub enum IssuerKeysError {
    /// The keys in the auth file itself.
    #[error(transparent)]
    Inline(#[from] KeySetError),
    #[error("{}: {fault}", file.display())]
    File {
        file: PathBuf,
        #[source]
        fault: KeySetError,
    },
    #[error(transparent)]
    Unreadable(#[from] UnreadableFile),
    #[error(transparent)]
    Certificates(#[from] PemError),
    #[error(transparent)]
    Fetcher(#[from] FetcherError),
}

/// A file cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct UnreadableFile {
    pub path: PathBuf,
    pub source: io::Error,
}
