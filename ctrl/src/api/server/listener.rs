//! The socket in the file system.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;

/// Clients that the kernel lets wait.
const BACKLOG: i32 = 32;

/// The control socket cannot be made.
#[derive(Debug, Error)]
pub enum BindError {
    /// Someone listens there.
    #[error("{path} is the control socket of a running gateway", path = .path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// A file, a folder.
    #[error("{path} is in the way: it is not a socket", path = .path.display())]
    NotASocket {
        /// What it is not.
        path: PathBuf,
    },
    /// The file system gave the socket another mode.
    #[error("{path} has mode {mode:03o} and not 600: others could give commands",
        path = .path.display())]
    Mode {
        /// The socket.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system refuses.
    #[error("cannot listen at {path}: {error}", path = .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A listening socket that takes its name away with it.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: UnixListener,
    path: PathBuf,
    /// Device and inode: by then another gateway may have made a socket of the same name.
    identity: (u64, u64),
}

impl Listener {
    pub(super) fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |error| BindError::Io { path: path.to_path_buf(), error };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
        }
        remove_stale(path)?;
        let socket = listen(path).map_err(|error| failed(error.into()))?;
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        let listener =
            Self { socket, path: path.to_path_buf(), identity: (metadata.dev(), metadata.ino()) };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(BindError::Mode { path: path.to_path_buf(), mode });
        }
        Ok(listener)
    }
}

impl Drop for Listener {
    /// The name goes before the socket is closed: a gateway that starts in between finds either
    /// a socket in use or none, and ours is never taken for a stale one.
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours {
            // Privileges may be gone by now; the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let named = || path.to_path_buf();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::Io { path: named(), error }),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: named() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| BindError::Io { path: named(), error })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BindError::Io { path: named(), error }),
        Ok(_) => Err(BindError::InUse { path: named() }),
    }
}

/// Binds and listens. Linux gives the name the mode of the socket, so that it is right from the
/// first moment on, whatever the umask; and nobody can connect before `listen`.
fn listen(path: &Path) -> rustix::io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from_std(socket.into()))
}
