//! Entropy from the kernel.

use ring::rand::{SecureRandom, SystemRandom};

/// The kernel gave no entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot draw {bytes} bytes of entropy: getrandom failed; is the kernel older than 3.17?")]
pub struct EntropyError {
    /// How much was wanted.
    pub bytes: usize,
}

/// Fills `out` with random bytes fit for keys. Waits, at early boot only, until the kernel has gathered
/// enough.
///
/// # Errors
/// [`EntropyError`]; `out` must then not be used.
pub fn fill(out: &mut [u8]) -> Result<(), EntropyError> {
    SystemRandom::new().fill(out).map_err(|_| EntropyError { bytes: out.len() })
}

/// 64 random bits: a salt, or the seed of a machine's generator.
///
/// # Errors
/// [`EntropyError`].
pub fn random_u64() -> Result<u64, EntropyError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn draws_differ() {
        assert_ne!(super::random_u64().unwrap(), super::random_u64().unwrap());
    }
}
