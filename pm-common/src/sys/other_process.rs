//! Reaches into another process: what is in its memory, what its descriptors are.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use super::pidfd;

/// Reads memory of another process; shorter than asked for where it ends.
///
/// # Errors
/// That of process_vm_readv(2): EPERM, EFAULT, ESRCH.
pub fn read_memory(thread: i32, address: usize, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let from = nix::sys::uio::RemoteIoVec { base: address, len: length };
    let pid = nix::unistd::Pid::from_raw(thread);
    let got = nix::sys::uio::process_vm_readv(pid, &mut [io::IoSliceMut::new(&mut bytes)], &[from])?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Writes over memory of another process, where that may write itself.
///
/// # Errors
/// That of process_vm_writev(2): EPERM, EFAULT, ESRCH; or less than all was written.
pub fn write_memory(thread: i32, address: usize, bytes: &[u8]) -> io::Result<()> {
    let to = nix::sys::uio::RemoteIoVec { base: address, len: bytes.len() };
    let pid = nix::unistd::Pid::from_raw(thread);
    let put = nix::sys::uio::process_vm_writev(pid, &[io::IoSlice::new(bytes)], &[to])?;
    if put == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// A duplicate of a descriptor of another process (its leader's pid, not a thread's).
///
/// # Errors
/// That of pidfd_open(2) and pidfd_getfd(2): EPERM, ENOSYS before Linux 5.6, EBADF.
pub fn take_descriptor(process: i32, number: i32) -> io::Result<OwnedFd> {
    let process = pidfd::open(process)?;
    let flags = rustix::process::PidfdGetfdFlags::empty();
    Ok(rustix::process::pidfd_getfd(process, number, flags)?)
}

/// The value of an extended attribute of what a path of /proc leads to; at most 255 bytes.
///
/// # Errors
/// That of getxattr(2).
pub fn attribute(path: &str, name: &str) -> io::Result<Vec<u8>> {
    let mut room = [MaybeUninit::<u8>::uninit(); 255];
    let (value, _) = rustix::fs::getxattr(path, name, &mut room)?;
    Ok(value.to_vec())
}
