//! Tells systemd how the program is: sd_notify(3), as far as `Type=notify` and `WatchdogSec=` need it.

use log::warn;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Who started us and wants to know. Without anybody nothing is said.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// `socket` is NOTIFY_SOCKET: a path, or `@` and a name that is in no file system. `watchdog` is how long the manager
    /// waits for a sign of life before it kills us.
    pub fn new(socket: &OsStr, watchdog: Option<Duration>) -> Self {
        let connected = || -> io::Result<_> { Ok((UnixDatagram::unbound()?, address(socket)?)) };
        match connected() {
            Ok(socket) => Self { socket: Some(socket), watchdog },
            Err(e) => {
                warn!("cannot tell the service manager at {socket:?} that we are up: {e}");
                Self::default()
            }
        }
    }

    /// How often [`alive`](Self::alive) must be said; `None`: never.
    pub fn sign_of_life_every(&self) -> Option<Duration> {
        // Twice within the time, so that one may be late.
        self.watchdog.map(|patience| patience / 2)
    }

    /// `status` is what `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=ending");
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(e) = socket.send_to_addr(text.as_bytes(), address)
        {
            warn!("the service manager does not hear us: {e}");
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

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    #[test]
    fn a_manager_hears_what_it_is_told_on_a_path_and_on_a_name() {
        let folder = std::env::temp_dir().join(format!("curlew-notify-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("socket");
        let name = format!("curlew-notify-{:016x}", fastrand::u64(..));
        let abstract_name = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        for (socket, told) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            let manager = Manager::new(&told, Some(Duration::from_secs(30)));
            assert_eq!(manager.sign_of_life_every(), Some(Duration::from_secs(15)));
            manager.ready("serving");
            manager.alive();
            manager.stopping();
            assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
            assert_eq!(heard(&socket), "WATCHDOG=1");
            assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=ending");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nobody_who_listens_is_no_failure() {
        Manager::default().ready("serving");
        for nobody in ["", "/no/such/socket", "@", "relative"] {
            Manager::new(OsStr::new(nobody), None).ready("serving");
        }
    }
}
