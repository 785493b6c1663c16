//! What newer versions of Consul do otherwise than 1.8.7, where a lock's requests meet it. Measured with 1.8.7, 1.16.4
//! and a build of 1.23; a version in between counts as the last of these that is not newer.

/// The version of Consul that the model plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edition {
    /// As Consul 1.8.7.
    #[default]
    V1_8,
    /// As Consul 1.16.4.
    V1_16,
    /// As a build of Consul 1.23.
    V1_22,
}

impl Edition {
    /// The edition for the version that a server gives, such as `1.16.4`. None: the text is no version.
    pub fn of(version: &str) -> Option<Edition> {
        let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return None;
        };
        Some(match (major, minor) {
            (..1, _) | (1, ..16) => Edition::V1_8,
            (1, ..22) => Edition::V1_16,
            _ => Edition::V1_22,
        })
    }

    /// A path with `//`, `.` or `..` behind percent signs is sent to its shortest form, as one with these as they are.
    /// A newer Consul serves such a path.
    pub(crate) fn shortens_decoded_paths(self) -> bool {
        self < Edition::V1_16
    }

    /// Consul looks up a session by any text, and not only by the text of a UUID.
    pub(crate) fn takes_any_id(self) -> bool {
        self >= Edition::V1_16
    }

    /// A blocking query on a missing key waits for that very key. An older server watches a node of its tree above
    /// all rows that may come: other keys wake the query, too.
    pub(crate) fn waits_for_the_key(self) -> bool {
        self >= Edition::V1_16
    }

    /// The text behind the results of a transaction that only reads, or behind the reason of its refusal.
    pub(crate) fn read_tail(self, was_refused: bool) -> String {
        let (index, known_leader, more) = match self {
            Edition::V1_8 => (0, true, ""),
            // A refused transaction has no such text.
            _ => (
                u8::from(!was_refused),
                !was_refused,
                ",\"NotModified\":false,\"Backend\":0,\"ResultsFilteredByACLs\":false",
            ),
        };
        format!(
            ",\"Index\":{index},\"LastContact\":0,\"KnownLeader\":{known_leader},\
             \"ConsistencyLevel\":\"\"{more}}}"
        )
    }

    /// Consul refuses an unknown verb before it performs any operation, and not when the verb comes.
    pub(crate) fn knows_verbs_before(self) -> bool {
        self >= Edition::V1_22
    }

    /// The text before the error that a write had in the state machine.
    pub(crate) fn apply_prefix(self) -> &'static str {
        match self {
            Edition::V1_8 => "",
            _ => "raft apply failed: ",
        }
    }

    /// The text before the error that the creation of a session had in the state machine.
    pub(crate) fn create_prefix(self) -> &'static str {
        match self {
            Edition::V1_8 => "",
            _ => "apply failed: ",
        }
    }

    /// The answer about a node that the catalog does not have comes with the index of the catalog, and not with 1.
    pub(crate) fn has_index_of_missing_node(self) -> bool {
        self >= Edition::V1_16
    }

    /// The most operations of one transaction.
    pub(crate) fn most_operations(self) -> usize {
        match self {
            Edition::V1_8 => 64,
            _ => 128,
        }
    }

    /// The text before a reason why a request is bad.
    pub(crate) fn bad_prefix(self) -> &'static str {
        match self {
            Edition::V1_8 => "Bad request: ",
            _ => "",
        }
    }

    /// Why the HTTP API refuses a key.
    pub(crate) fn problem_of(self, key: &str) -> Option<&'static str> {
        if self < Edition::V1_22 {
            return None;
        }
        if key.starts_with(' ') || key.ends_with(' ') {
            return Some("invalid key name, leading/trailing spaces are not allowed");
        }
        let plain = crate::wire::unescaped(key);
        let hides = |what: &str| {
            plain
                .as_ref()
                .is_some_and(|it| it != key && it.contains(what))
        };
        if hides("..") {
            return Some("invalid key name, path traversal is not allowed");
        }
        hides(" ").then_some("invalid key name, leading/trailing spaces are not allowed")
    }
}
