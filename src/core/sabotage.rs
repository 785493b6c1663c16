//! Cores that are broken on purpose: the simulation must catch each of them, or it proves nothing.
//! None of this is in a library that is built for use. Defects that can be made outside of a core, by what
//! it is told and by what becomes of its actions, are in `tests/sim/defects.rs`.

/// A defect to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A renewal that is answered after the end of a lease makes a new one.
    ReviveTheDead,
    /// A lock is handed out although the renewal that makes its life whole was not answered.
    HalfALife,
    /// The session of a lock whose lease has ended is ended at once.
    HurriedEnd,
    /// An acquire with an unknown outcome is taken as a failure, and its session is left alone.
    DoubtIsFailure,
    /// A session is used again although a write under it may still be on its way.
    PoolAfterWriteInDoubt,
    /// A head that does not act is never passed.
    NeverPass,
    /// Whoever stands in line takes the key when it is free, head or not.
    AnyoneTakes,
    /// A blocking query that is not wanted any more is aborted, and its place is free at once.
    HangUp,
}
