//! Finding the gateway that is meant when `--socket` does not say it.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Exit;

/// The one socket in `folder` whose name ends in `.sock`.
///
/// # Errors
/// [`SocketError`]: there is none, there are several, or the folder cannot be read.
pub(super) fn only_socket(folder: &Path) -> Result<PathBuf, SocketError> {
    let failed = |error| SocketError::Folder { folder: folder.to_path_buf(), error };
    let mut sockets = Vec::new();
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let path = entry.path();
                let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
                if is_socket && path.extension().is_some_and(|extension| extension == "sock") {
                    sockets.push(path);
                }
            }
        }
    }
    sockets.sort();
    match sockets.len() {
        0 => Err(SocketError::None { folder: folder.to_path_buf() }),
        1 => Ok(sockets.remove(0)),
        _ => Err(SocketError::Several { sockets }),
    }
}

/// It is not clear which gateway is meant.
#[derive(Debug, Error)]
pub(super) enum SocketError {
    #[error("no gateway runs here: there is no socket in {folder}; --socket PATH names one \
        elsewhere", folder = .folder.display())]
    None { folder: PathBuf },
    #[error("several gateways run here, choose one:{}", options(.sockets))]
    Several { sockets: Vec<PathBuf> },
    #[error("cannot look for gateways in {folder}: {error}", folder = .folder.display())]
    Folder { folder: PathBuf, error: io::Error },
}

impl SocketError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Several { .. } => Exit::Usage,
            Self::None { .. } | Self::Folder { .. } => Exit::NoGateway,
        }
    }
}

fn options(sockets: &[PathBuf]) -> String {
    sockets.iter().map(|socket| format!("\n  --socket {}", socket.display())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn takes_the_only_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file.sock"), "").unwrap();
        let _other = UnixListener::bind(path("hub.socket")).unwrap();
        let none = only_socket(folder.path()).unwrap_err();
        assert_eq!(none.exit(), Exit::NoGateway);
        assert!(none.to_string().contains("--socket"), "{none}");

        let _hub = UnixListener::bind(path("hub.sock")).unwrap();
        assert_eq!(only_socket(folder.path()).unwrap(), path("hub.sock"));

        let _spoke = UnixListener::bind(path("spoke.sock")).unwrap();
        let several = only_socket(folder.path()).unwrap_err();
        assert_eq!(several.exit(), Exit::Usage);
        let (hub, spoke) = (path("hub.sock"), path("spoke.sock"));
        assert_eq!(
            several.to_string(),
            format!(
                "several gateways run here, choose one:\n  --socket {}\n  --socket {}",
                hub.display(),
                spoke.display()
            )
        );
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_gateway() {
        let error = only_socket(Path::new("/nonexistent/greyhound")).unwrap_err();
        assert!(matches!(error, SocketError::None { .. }));
    }
}
