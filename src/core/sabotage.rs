//! Cores that are broken on purpose: the simulation must catch each of them, or it proves nothing.
//! None of this is in a library that is built for use.

/// A defect to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The lease is counted from the answer, not from before the request.
    LeaseFromReply,
    /// A renewal that is answered after the end of a lease makes a new one.
    ReviveTheDead,
    /// A lock is handed out although the renewal that makes its life whole was not answered.
    HalfALife,
    /// The data of another program under the key of a lock is taken for a free lock.
    TakeWhatIsThere,
    /// The session of a lock whose lease has ended is ended at once.
    HurriedEnd,
    /// An acquire with an unknown outcome is taken as a failure, and its session is left alone.
    DoubtIsFailure,
    /// A session is used again although the answer to a release was lost.
    PoolAfterDoubt,
    /// A write whose answer was lost is said not to have been done when the lock is lost.
    DoubtIsNoWrite,
    /// A session is used again although a write under it may still be on its way.
    PoolAfterWriteInDoubt,
    /// Nobody is told that a lock's time ran out.
    SilentLoss,
    /// A lock that arrives after its caller was told no is left in Consul.
    KeepLateLock,
    /// A session whose create was not answered is looked for once.
    LookOnce,
    /// Sessions are bound to the agent's node, whatever `session_node` says.
    AgentsNode,
    /// A line that was seen is forgotten at once.
    ForgetTheLine,
    /// A head that does not act is never passed.
    NeverPass,
    /// Whoever stands in line takes the key when it is free, head or not.
    AnyoneTakes,
    /// A blocking query that is not wanted any more is aborted, and its place is free at once.
    HangUp,
}
