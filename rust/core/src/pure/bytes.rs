//! Reading fixed-size fields from plain bytes.

/// Return the `N` bytes at offset `at`, or `None` if `data` is too short.
#[inline]
pub fn bytes_at<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}
