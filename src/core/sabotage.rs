//! Cores that are broken on purpose: the simulation must catch each of them, or it proves nothing.
//! None of this is in a library that is built for use.

/// A defect to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The lease is counted from the answer, not from before the request.
    LeaseFromReply,
    /// An acquire with an unknown outcome is taken as a failure, and its session is left alone.
    DoubtIsFailure,
    /// A session is used again although the answer to a release was lost.
    PoolAfterDoubt,
    /// A lock that arrives after its caller was told no is left in Consul.
    KeepLateLock,
}
