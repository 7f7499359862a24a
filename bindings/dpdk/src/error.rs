//! What can go wrong outside the packet path.

use std::ffi::{CStr, CString, c_int};
use std::fmt;

/// A DPDK error number (that of errno.h, or one of DPDK's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: any number is accepted; the answer is a static or thread-local string.
        let text = unsafe { dpdk_sys::rte_strerror(self.0) };
        // SAFETY: it is NUL-terminated, and this thread makes no other call before it is read.
        let text = unsafe { CStr::from_ptr(text) };
        write!(f, "{} (errno {})", text.to_string_lossy(), self.0)
    }
}

/// Why an operation on the EAL, a pool, a port, a ring or a crypto device failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// DPDK can be initialised once in the life of a process.
    #[error("the EAL was initialised before in this process")]
    AlreadyInitialised,
    /// `Hugepages::Require`, and there are too few.
    #[error("{wanted_mib} MiB of hugepages are required, {free_mib} MiB are free")]
    NoHugepages {
        /// What the configuration asks for.
        wanted_mib: u64,
        /// What the kernel has free, all sizes together.
        free_mib: u64,
    },
    /// A DPDK function refused.
    #[error("{operation} {subject:?}: {errno}")]
    Dpdk {
        /// The DPDK function.
        operation: &'static str,
        /// The device, pool or ring that it was about.
        subject: String,
        /// Its reason.
        errno: Errno,
    },
    /// A name that DPDK cannot hold: it has a NUL octet, or is too long.
    #[error("{name:?} is not a usable name: it must be 1 to {max} octets long, without NUL")]
    Name {
        /// The name.
        name: String,
        /// How long it may be, in octets.
        max: usize,
    },
    /// A number outside what DPDK or the device can do.
    #[error("{what}: {wanted} is not within {min} to {max}")]
    Range {
        /// What the number is.
        what: &'static str,
        /// The number that was asked for.
        wanted: u64,
        /// The least possible.
        min: u64,
        /// The most possible.
        max: u64,
    },
    /// No driver knows the device, or it is not there or not allowed.
    #[error("there is no device {0:?}, or no driver for it")]
    NoSuchDevice(String),
    /// The device was attached before, and is still in use.
    #[error("device {0:?} is attached already")]
    DeviceBusy(String),
    /// The device exists, but is no network device.
    #[error("device {0:?} has no Ethernet port")]
    NoEthernetPort(String),
    /// The device exists, but is no crypto device, or one for public keys only.
    #[error("device {0:?} is no crypto device for symmetric keys")]
    NoCryptoDevice(String),
    /// The crypto device cannot do what ESP needs.
    #[error(
        "crypto device {device:?} ({driver}) does no AES-GCM with a key of {key_len} octets and \
         {aad_len} of AAD"
    )]
    NoAesGcm {
        /// The device.
        device: String,
        /// Its driver.
        driver: String,
        /// Octets of the key.
        key_len: usize,
        /// Octets of AAD.
        aad_len: usize,
    },
    /// The crypto device wants room in each packet that drivers of ports do not leave.
    #[error("crypto device {0:?} needs room around packets, which they do not have")]
    NeedsRoom(String),
    /// The crypto device has as many sessions as it was attached for.
    #[error("all {max} sessions of crypto device {device:?} are in use")]
    NoSession {
        /// The device.
        device: String,
        /// How many it was attached for.
        max: u32,
    },
    /// A running port cannot be stopped or started anew while its queues are in use.
    #[error("port {0:?} cannot stop: queues of it are still held")]
    QueuesHeld(String),
    /// This thread is an lcore already.
    #[error("this thread is registered with DPDK already")]
    ThreadRegistered,
    /// The thread could not be pinned.
    #[error("the thread cannot be pinned to core {0}")]
    Affinity(usize),
}

impl Error {
    /// From a function that says why through `rte_errno`.
    pub(crate) fn last(operation: &'static str, subject: &str) -> Self {
        // SAFETY: reads a thread-local number.
        let errno = unsafe { dpdk_sys::shim_errno() };
        Self::Dpdk { operation, subject: subject.to_owned(), errno: Errno(errno) }
    }
}

/// From a function that returns a negative error number.
pub(crate) fn check(operation: &'static str, subject: &str, code: c_int) -> Result<(), Error> {
    if code >= 0 {
        return Ok(());
    }
    Err(Error::Dpdk { operation, subject: subject.to_owned(), errno: Errno(-code) })
}

/// `wanted`, if it is within `min..=max`.
pub(crate) fn in_range<T: Copy + PartialOrd + Into<u64>>(
    what: &'static str,
    wanted: T,
    min: T,
    max: T,
) -> Result<T, Error> {
    if wanted < min || wanted > max {
        let (wanted, min, max) = (wanted.into(), min.into(), max.into());
        return Err(Error::Range { what, wanted, min, max });
    }
    Ok(wanted)
}

/// A name for DPDK that fits a buffer of `size` octets, its NUL included.
pub(crate) fn c_name(name: &str, size: usize) -> Result<CString, Error> {
    let max = size - 1;
    let bad = || Error::Name { name: name.to_owned(), max };
    if name.is_empty() || name.len() > max {
        return Err(bad());
    }
    CString::new(name).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_operation_subject_and_reason() {
        let error = check("rte_dev_probe", "net_x0", -libc::ENODEV).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("rte_dev_probe \"net_x0\": No such device (errno {})", libc::ENODEV)
        );
        assert_eq!(check("anything", "", 3), Ok(()));
    }

    #[test]
    fn names_are_bounded_and_without_nul() {
        assert_eq!(c_name("abc", 4).unwrap().as_bytes(), b"abc");
        for bad in ["", "abcd", "a\0"] {
            assert_eq!(c_name(bad, 4), Err(Error::Name { name: bad.to_owned(), max: 3 }));
        }
    }

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!(in_range("n", 1_u16, 1, 2), Ok(1));
        assert_eq!(in_range("n", 2_u16, 1, 2), Ok(2));
        let error = in_range("n", 3_u16, 1, 2).unwrap_err();
        assert_eq!(error.to_string(), "n: 3 is not within 1 to 2");
    }
}
