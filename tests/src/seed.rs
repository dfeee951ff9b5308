//! Chance that can be had again: every draw of a test comes from one number, which it prints and takes.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// Where a test's chance comes from: `WXEDGE_SEED`, or a new number.
///
/// # Panics
/// When `WXEDGE_SEED` is no number.
#[must_use]
pub fn seed() -> u64 {
    match std::env::var("WXEDGE_SEED") {
        Ok(seed) => seed.parse().expect("WXEDGE_SEED is a number"),
        Err(_) => rand::random(),
    }
}

/// A source of chance of its own for each `part` of a test, so that what one draws does not change what others do.
#[must_use]
pub fn source(seed: u64, part: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Any time up to `most`.
pub fn up_to(source: &mut StdRng, most: Duration) -> Duration {
    most.mul_f64(source.random())
}
