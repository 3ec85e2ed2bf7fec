//! Reports state to systemd: the subset of sd_notify(3) for `Type=notify` and `WatchdogSec=`.

use log::warn;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager that started this process. The default sends nothing.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// `socket` is NOTIFY_SOCKET: a path, or `@` and a name in the abstract namespace. `watchdog` is WATCHDOG_USEC, the
    /// time without a ping after which the manager kills the process.
    pub fn new(socket: &OsStr, watchdog: Option<Duration>) -> Self {
        let connected = || -> io::Result<_> { Ok((UnixDatagram::unbound()?, address(socket)?)) };
        match connected() {
            Ok(socket) => Self { socket: Some(socket), watchdog },
            Err(e) => {
                warn!("cannot notify the service manager at {socket:?}: {e}");
                Self::default()
            }
        }
    }

    /// The interval of [`ping`](Self::ping). `None`: the manager has no watchdog.
    pub fn ping_interval(&self) -> Option<Duration> {
        // Half of the timeout, as sd_watchdog_enabled(3) recommends.
        self.watchdog.map(|timeout| timeout / 2)
    }

    /// Reports that startup is complete. `systemctl status` shows `status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Resets the watchdog.
    pub fn ping(&self) {
        self.send("WATCHDOG=1");
    }

    /// Reports that shutdown has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=shutting down");
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(e) = socket.send_to_addr(text.as_bytes(), address)
        {
            warn!("cannot notify the service manager: {e}");
        }
    }
}

fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(std::path::Path::new(socket))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    #[test]
    fn notifications_arrive_at_paths_and_at_abstract_names() {
        let folder = std::env::temp_dir().join(format!("curlew-notify-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("socket");
        let name = format!("curlew-notify-{:016x}", fastrand::u64(..));
        let abstract_name = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        for (socket, variable) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            let manager = ServiceManager::new(&variable, Some(Duration::from_secs(30)));
            assert_eq!(manager.ping_interval(), Some(Duration::from_secs(15)));
            manager.ready("serving");
            manager.ping();
            manager.stopping();
            assert_eq!(received(&socket), "READY=1\nSTATUS=serving");
            assert_eq!(received(&socket), "WATCHDOG=1");
            assert_eq!(received(&socket), "STOPPING=1\nSTATUS=shutting down");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_missing_manager_is_not_an_error() {
        ServiceManager::default().ready("serving");
        for missing in ["", "/no/such/socket", "@", "relative"] {
            ServiceManager::new(OsStr::new(missing), None).ready("serving");
        }
    }
}
