//! Reads small files completely, up to a limit. A configured path may be a FIFO, which blocks until it has a writer, or a device
//! that never ends.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Larger than any key set, certificate chain or bundle of CAs.
pub const MAX_BYTES: u64 = 1 << 20;

/// Reads a regular file. Rejects everything else, so that reloading a file never blocks.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(i32::try_from(flags).unwrap_or(0)).open(path)?;
    // Checks the open descriptor, because the path may have been replaced meanwhile.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    read_bounded(file)
}

/// [`read_regular`] for UTF-8 text.
pub fn read_regular_text(path: &Path) -> io::Result<String> {
    text(read_regular(path)?)
}

/// Reads a file or a pipe, such as `--kafka-config <(decrypt FILE)`. May block, so it is for files that are read once, at the
/// start.
pub fn read_once(path: &Path) -> io::Result<Vec<u8>> {
    read_bounded(File::open(path)?)
}

/// [`read_once`] for UTF-8 text.
pub fn read_once_text(path: &Path) -> io::Result<String> {
    text(read_once(path)?)
}

fn read_bounded(file: File) -> io::Result<Vec<u8>> {
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
    fn pipes_and_devices_are_rejected_without_blocking_and_large_files_without_reading_them() {
        let folder = std::env::temp_dir().join(format!("curlew-small-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(at("largest"), vec![b'x'; MAX_BYTES as usize]).unwrap();
        std::fs::write(at("larger"), vec![b'x'; MAX_BYTES as usize + 1]).unwrap();
        std::fs::write(at("latin-1"), [0xe9]).unwrap();
        let error = |path: &Path| read_regular_text(path).unwrap_err().to_string();
        for path in [at("fifo"), folder.clone(), "/dev/zero".into(), "/dev/null".into()] {
            assert_eq!(error(&path), "it is not a regular file", "{path:?}");
        }
        assert_eq!(error(&at("larger")), "it is larger than 1 MiB");
        assert_eq!(error(&at("latin-1")), "it is not UTF-8");
        assert_eq!(read_regular(&at("largest")).unwrap().len() as u64, MAX_BYTES);
        assert_eq!(read_once("/dev/zero".as_ref()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_once("/dev/null".as_ref()).unwrap(), b"");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
