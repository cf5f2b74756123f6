//! Random numbers.

/// A seed for the jitter of delays; where the kernel has no entropy yet, the clock and the pid do.
#[must_use]
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => super::clock::now().0 ^ u64::from(std::process::id()) << 32,
    }
}
