//! `greyhound keygen`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aead::Algorithm;
use thiserror::Error;
use zeroize::Zeroizing;

use super::Exit;
use crate::api::KeyHex;

/// A key to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keygen {
    /// What it is for.
    pub algorithm: Algorithm,
    /// A new file; `None`: standard output.
    pub output: Option<PathBuf>,
}

/// Makes a key and its salt, and writes them as one line of hexadecimal digits.
pub fn execute_keygen(keygen: &Keygen) -> ExitCode {
    let result = match &keygen.output {
        Some(path) => generate_into(path, keygen.algorithm),
        None => generate(keygen.algorithm, &mut io::stdout().lock()),
    };
    match result {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("greyhound: {error}");
            error.exit().into()
        }
    }
}

/// Into a new file of mode 0600; one that is there already stays as it is.
fn generate_into(path: &Path, algorithm: Algorithm) -> Result<(), KeygenError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(|error| {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::AlreadyExists => KeygenError::Exists { path },
            _ => KeygenError::Create { path, error },
        }
    })?;
    let result =
        generate(algorithm, &mut file).and_then(|()| file.sync_all().map_err(KeygenError::Write));
    if result.is_err() {
        // Half a key is worse than none. The first error is the one to tell.
        let _ = fs::remove_file(path);
    }
    result
}

fn generate(algorithm: Algorithm, output: &mut impl Write) -> Result<(), KeygenError> {
    let mut octets = Zeroizing::new(vec![0; algorithm.material_len()]);
    getrandom::fill(&mut octets).map_err(KeygenError::Random)?;
    let key = KeyHex::from_octets(&octets);
    writeln!(output, "{}", key.digits()).and_then(|()| output.flush()).map_err(KeygenError::Write)
}

#[derive(Debug, Error)]
enum KeygenError {
    #[error("{path} exists already, and keys are not overwritten", path = .path.display())]
    Exists { path: PathBuf },
    #[error("cannot create {path}: {error}", path = .path.display())]
    Create { path: PathBuf, error: io::Error },
    #[error("the operating system has no random numbers: {0}")]
    Random(getrandom::Error),
    #[error("cannot write the key: {0}")]
    Write(io::Error),
}

impl KeygenError {
    fn exit(&self) -> Exit {
        match self {
            Self::Exists { .. } | Self::Create { .. } => Exit::Usage,
            Self::Random(_) | Self::Write(_) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{KeyMaterial, read_key_file};

    #[test]
    fn what_it_writes_is_a_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = Vec::new();
        for (name, algorithm) in Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm)) {
            let path = folder.path().join(name);
            generate_into(&path, algorithm).unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let contents = read_key_file(&path).unwrap();
            let key = KeyMaterial::from_file_contents(&contents, algorithm).unwrap();
            keys.push(key.octets()[..16].to_vec());
        }
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.key");
        fs::write(&path, "precious").unwrap();
        let error = generate_into(&path, Algorithm::Aes256Gcm16).unwrap_err();
        assert!(matches!(error, KeygenError::Exists { .. }));
        assert_eq!(error.exit(), Exit::Usage);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = generate(Algorithm::Aes256Gcm16, &mut Full).unwrap_err();
        assert!(matches!(error, KeygenError::Write(_)));
        assert_eq!(error.exit(), Exit::Failed);
    }
}
