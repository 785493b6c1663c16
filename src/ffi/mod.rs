//! The C boundary: nothing of C above, nothing of Rust below.
#![allow(unsafe_code)]
