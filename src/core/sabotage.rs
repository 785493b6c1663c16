//! Defects for the simulation, which must catch each of them, or proves nothing. A library that is built for
//! use has none of this. Defects that can be made outside of a core, in its inputs and its actions, are in
//! `tests/sim/defects.rs`.

/// A defect of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A renewal that Consul answers after the end of the lease begins a new lease.
    ReviveTheDead,
    /// The caller gets a lock although the renewal that makes its life whole was not answered.
    HalfALife,
    /// The core ends the session of a lock at once when the lease has ended.
    HurriedEnd,
    /// The core takes an unknown outcome of an acquire for a failure, and leaves the session alone.
    DoubtIsFailure,
    /// The core uses a session again although a write under it may still be on its way.
    PoolAfterWriteInDoubt,
    /// A waiter never passes a head that does not act.
    NeverPass,
    /// Every waiter in line takes the key when it is free, head or not.
    AnyoneTakes,
    /// An exclusive lock does not wait for those who share its key.
    NoDrain,
    /// A lock that shares its key does not check that no session holds the key.
    SharesBesideAHolder,
    /// A lock that shares its key counts one slot too many.
    OneTooMany,
    /// The transaction that takes several keys leaves one out.
    ForgetsAKey,
    /// A waiter for a slot does not notice that one is free.
    MissesItsSlot,
    /// A waiter that shares never passes a head that does not act.
    SharerNeverPasses,
    /// A waiter takes a head for one that waits rightly although that head has lost one of its tickets.
    ForgivesLostTickets,
    /// The core aborts a blocking query that is not wanted any more, and its place is free at once.
    HangUp,
    /// The core does not ask for the keys of a lock that the watch does not see.
    WatchesTheFirstAlone,
}
