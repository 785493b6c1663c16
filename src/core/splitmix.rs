//! The constants of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).

/// What one step adds to the state.
pub(super) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads a change of any bit over all bits.
pub(super) fn stir(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
