//! Memory for large values: a host without memory gets an error and does not end.

use crate::error::{Error, Status};

/// A copy of the host's bytes. NO_RESOURCES: there is no memory for it.
pub(crate) fn copy(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut copy = Vec::new();
    match copy.try_reserve_exact(bytes.len()) {
        Ok(()) => {
            copy.extend_from_slice(bytes);
            Ok(copy)
        }
        Err(_) => Err(none_for(bytes.len())),
    }
}

/// The error where there is no memory for so many bytes.
pub(crate) fn none_for(bytes: usize) -> Error {
    let why = format!("the system gives no memory for {bytes} bytes");
    Error::new(Status::NoResources, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(copy(b"abc"), Ok(b"abc".to_vec()));
        assert_eq!(none_for(7).status, Status::NoResources);
    }
}
