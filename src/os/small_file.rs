//! Reads a settings file whole, and no more than a settings file can have: a path may lead to a pipe, whose opening
//! waits for a writer, or to a device that never ends.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Larger than any key set, certificate chain or bundle of CAs.
pub const MAX_BYTES: u64 = 1 << 20;

/// For files that are read again while the program runs: only a regular file, so that reading it never waits.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(i32::try_from(flags).unwrap_or(0)).open(path)?;
    // Of the open descriptor: the path may lead elsewhere by now.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    whole(file)
}

/// The same as text.
pub fn read_regular_text(path: &Path) -> io::Result<String> {
    text(read_regular(path)?)
}

/// For files that are read once, at the start: also a pipe, as of `--kafka-config <(decrypt FILE)`.
pub fn read_once(path: &Path) -> io::Result<Vec<u8>> {
    whole(File::open(path)?)
}

/// The same as text.
pub fn read_once_text(path: &Path) -> io::Result<String> {
    text(read_once(path)?)
}

fn whole(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let detail = format!("it is larger than {} MiB", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, detail));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn a_pipe_and_a_device_are_rejected_without_waiting_and_a_large_file_without_reading_it() {
        let folder = std::env::temp_dir().join(format!("curlew-small-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(at("largest"), vec![b'x'; MAX_BYTES as usize]).unwrap();
        std::fs::write(at("larger"), vec![b'x'; MAX_BYTES as usize + 1]).unwrap();
        std::fs::write(at("latin-1"), [0xe9]).unwrap();
        let said = |path: &Path| read_regular_text(path).unwrap_err().to_string();
        for path in [at("fifo"), folder.clone(), "/dev/zero".into(), "/dev/null".into()] {
            assert_eq!(said(&path), "it is not a regular file", "{path:?}");
        }
        assert_eq!(said(&at("larger")), "it is larger than 1 MiB");
        assert_eq!(said(&at("latin-1")), "it is not UTF-8");
        assert_eq!(read_regular(&at("largest")).unwrap().len() as u64, MAX_BYTES);
        assert_eq!(read_once("/dev/zero".as_ref()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_once("/dev/null".as_ref()).unwrap(), b"");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
