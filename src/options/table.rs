//! ONE table of all options: name, place, kind, default, environment, text. The parser, the defaults
//! of locks and clients, `docs/OPTIONS.md` and `abi/api.json` are made from it.

use super::row::{DefaultValue, OptionPlace, OptionRow, ValueKind};
use crate::key::{LOCK_FLAGS, MAX_VALUE};

/// An option of a lock, but for its name, kind, default and text.
const LOCK: OptionRow = OptionRow {
    name: "",
    places: &[OptionPlace::Lock],
    kind: ValueKind::Bool,
    default: DefaultValue::Bool(false),
    env: None,
    secret: false,
    doc: "",
};

/// An option of a client, in the same way.
const CLIENT: OptionRow = OptionRow {
    places: &[OptionPlace::Client],
    ..LOCK
};

const TEXT: ValueKind = ValueKind::Text {
    may_be_empty: false,
};

/// The text of an option with a variable, which the empty text sets aside.
const TEXT_OR_NONE: ValueKind = ValueKind::Text { may_be_empty: true };

const fn int(min: i64, max: i64) -> ValueKind {
    ValueKind::Int { min, max }
}

/// Every option there is.
pub const TABLE: &[OptionRow] = &[
    OptionRow {
        name: "acquire_timeout_ms",
        places: &[OptionPlace::Lock, OptionPlace::Default],
        kind: int(-1, 86_400_000),
        default: DefaultValue::Int(0),
        doc: "How long an acquire waits for a lock that another session holds, in milliseconds. 0: \
              exactly one attempt. -1: until the acquire is cancelled.",
        ..LOCK
    },
    OptionRow {
        name: "lock_timeout_seconds",
        places: &[OptionPlace::Lock, OptionPlace::Default],
        kind: int(10, 86_400),
        default: DefaultValue::Int(180),
        doc: "The life of a lock that is never released, in seconds: the TTL of its session. Choose it \
              longer than the work under the lock can take. Consul may keep the lock up to twice as \
              long, but the holder must never count on that.",
        ..LOCK
    },
    OptionRow {
        name: "mode",
        kind: ValueKind::Choice {
            of: &["exclusive", "share"],
        },
        default: DefaultValue::Absent("exclusive; share with a `limit`"),
        doc: "Who may hold the key at the same time. `exclusive`: this lock alone. `share`: all locks \
              that share the key, but never beside an exclusive one: the readers of a read/write lock, \
              or, with `limit`, the holders of a semaphore. All of them stand in one line, in order, \
              so that neither side starves. A token needs `key_prefix` write to share a key.",
        ..LOCK
    },
    OptionRow {
        name: "limit",
        kind: int(1, 1_024),
        default: DefaultValue::Absent("no limit"),
        doc: "How many may share the key at once. A lock with a limit shares its key (`mode`), and gets a \
              slot number below the limit. All locks that share a key need the same limit: another one is \
              an error, CONFLICT, whose message names both. A lock with `mode` exclusive and a limit \
              is exclusive, and a downgrade makes it one of so many. Without a limit 1,024 may \
              share a key, and none has a slot number.",
        ..LOCK
    },
    OptionRow {
        name: "value",
        kind: ValueKind::Bytes { max: MAX_VALUE },
        default: DefaultValue::Absent(
            "what the value generator gives, else a JSON object with `locked_at`",
        ),
        secret: true,
        doc: "What Consul stores under the key while the lock is held, for instance the name of the \
              holder. Other programs can read it: it is no place for a secret. A lock that shares its key \
              stores 512 bytes at most, as each exclusive waiter reads the values of all.",
        ..LOCK
    },
    OptionRow {
        name: "auto_renew",
        kind: ValueKind::Bool,
        default: DefaultValue::Bool(false),
        doc: "Whether the library renews the lock every third of `lock_timeout_seconds` while the lock \
              is held, until it is released or lost. Use it for work of unknown length. A process that \
              hangs keeps the lock as long as the process lives, unless `max_lifetime_seconds` sets a \
              limit. An acquire for which the system gives no thread to renew with fails with \
              NO_RESOURCES and takes nothing.",
        ..LOCK
    },
    OptionRow {
        name: "max_lifetime_seconds",
        kind: int(0, 31_536_000),
        default: DefaultValue::Int(0),
        doc: "With `auto_renew`: how long after the acquire the library renews the lock, in seconds. \
              After that the lock ends within `lock_timeout_seconds`, unless a call renews it. 0: no \
              limit.",
        ..LOCK
    },
    OptionRow {
        name: "monitor",
        kind: ValueKind::Bool,
        default: DefaultValue::Bool(true),
        doc: "Whether the library watches the key of a lock that is held for longer than a second. The \
              library then reports a loss (an agent's leave, an operator or a deregistration ended the \
              session; the key was deleted) within a round trip, and not only at the end of the TTL. \
              Of several keys the library watches the first, and asks Consul for all of them every 5 s. \
              The watch takes a connection while the lock is held, 10 connections of a client at most; \
              the library does not watch further locks.",
        ..LOCK
    },
    OptionRow {
        name: "fair",
        kind: ValueKind::Bool,
        default: DefaultValue::Bool(true),
        doc: "Whether a waiting acquire stands in line with those of the other processes, first come, \
              first served. The line costs 3 Raft writes, and its time does not grow with the number \
              of waiters. false: all waiters try when the lock is released, and luck decides. That \
              suits two or three contenders that must never wait `queue_grace_ms` for a waiter that \
              died.",
        ..LOCK
    },
    OptionRow {
        name: "queue_grace_ms",
        kind: int(10, 60_000),
        default: DefaultValue::Int(300),
        doc: "How long the first waiter in line may leave the lock free before the next one passes it, \
              in milliseconds; 20 round trips to Consul if that is more. A waiter that is passed loses \
              its place, and nothing else.",
        ..LOCK
    },
    OptionRow {
        name: "lock_key_pattern",
        places: &[OptionPlace::Default],
        kind: ValueKind::Pattern,
        default: DefaultValue::Text("locks/ephemeral/%s"),
        doc: "Where the keys of locks stand in Consul's KV store. The key of the lock takes the place \
              of the one `%s`; any other `%` stands for itself. All programs that share a lock need \
              the same pattern.",
        ..LOCK
    },
    OptionRow {
        name: "address",
        kind: TEXT,
        default: DefaultValue::Text("127.0.0.1:8500"),
        env: Some("CONSUL_HTTP_ADDR"),
        secret: true,
        doc: "The address of Consul's HTTP API: `host:port`, `http://host:port`, `https://host:port` \
              or `unix:///path`. An IPv6 address stands in brackets, with a zone as in \
              `[fe80::1%25eth0]:8500`. A path may follow the port, where the API lies below one. The \
              agent on the same machine is the best choice. The library tries several addresses, with \
              commas between them, in order: where one cannot be reached or cannot serve, the library \
              asks the next one at once, and the one that failed comes last for 10 seconds.",
        ..CLIENT
    },
    OptionRow {
        name: "ssl",
        kind: ValueKind::Bool,
        default: DefaultValue::Bool(false),
        env: Some("CONSUL_HTTP_SSL"),
        doc: "Whether the library speaks TLS to every address, also to one with `http://`. To an \
              address with `https://` the library speaks TLS in any case.",
        ..CLIENT
    },
    OptionRow {
        name: "ssl_verify",
        kind: ValueKind::Bool,
        default: DefaultValue::Bool(true),
        env: Some("CONSUL_HTTP_SSL_VERIFY"),
        doc: "Whether Consul's certificate must be of a trusted CA, and for the name that the library \
              connects to. false is for experiments: a program between the library and Consul can read \
              the token. The log warns of it. In both cases the certificate must be one of X.509 \
              version 3, with an RSA, P-256, P-384 or Ed25519 key.",
        ..CLIENT
    },
    OptionRow {
        name: "ca_file",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("the system's CAs"),
        env: Some("CONSUL_CACERT"),
        doc: "A file with the certificates, in PEM, of the CAs that Consul's certificate may be of, or \
              with Consul's own certificate where Consul has signed it itself. The file takes the \
              place of the system's CAs. A file that cannot be read is an error. The library refuses a \
              CA whose own certificate is out of date or not for servers, as Consul's own client does. \
              Files for TLS are regular ones of 4 MB at most. The library reads them when the client \
              is made, again when they have changed and a connection is opened, and when one side \
              refuses the other; new files that cannot be used leave the old ones in place.",
        ..CLIENT
    },
    OptionRow {
        name: "ca_path",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("none"),
        env: Some("CONSUL_CAPATH"),
        doc: "A folder with such files, also in folders of it: 4,096 files and 32 MB at most. The \
              library does not use it if there is a `ca_file`.",
        ..CLIENT
    },
    OptionRow {
        name: "client_cert",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("none"),
        env: Some("CONSUL_CLIENT_CERT"),
        doc: "A file with the client's certificate in PEM, and those between it and its CA, for an \
              agent with `verify_incoming`. Needs `client_key`. Both files may be replaced, as \
              `ca_file`: put each into its place by renaming it.",
        ..CLIENT
    },
    OptionRow {
        name: "client_key",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("none"),
        env: Some("CONSUL_CLIENT_KEY"),
        doc: "A file with the private key of `client_cert` in PEM, not encrypted: PKCS#8, PKCS#1 or \
              SEC1.",
        ..CLIENT
    },
    OptionRow {
        name: "tls_server_name",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("the host of the address"),
        env: Some("CONSUL_TLS_SERVER_NAME"),
        doc: "The name that Consul's certificate must be for, such as `server.dc1.consul`; the library \
              also sends it as SNI. A port behind the name does not count.",
        ..CLIENT
    },
    OptionRow {
        name: "token",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("none"),
        env: Some("CONSUL_HTTP_TOKEN"),
        secret: true,
        doc: "The ACL token to send; docs/acl.md says what the token must be allowed to do. Wins over \
              `token_file`. Empty: the library sends none, even if the environment has one. The \
              library never logs a token.",
        ..CLIENT
    },
    OptionRow {
        name: "token_file",
        kind: TEXT,
        default: DefaultValue::Absent("none"),
        env: Some("CONSUL_HTTP_TOKEN_FILE"),
        doc: "A file with the ACL token; white space around the token does not count. The library \
              reads the file when the client is made, and reads the file at that path again when \
              Consul refuses the token, and so finds a token that was replaced meanwhile. A regular \
              file of 64 KB at most.",
        ..CLIENT
    },
    OptionRow {
        name: "http_auth",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("none"),
        env: Some("CONSUL_HTTP_AUTH"),
        secret: true,
        doc: "User and password, as `user:password`, for a proxy in front of Consul that wants HTTP \
              basic authentication. The library never logs them.",
        ..CLIENT
    },
    OptionRow {
        name: "proxy",
        kind: TEXT,
        default: DefaultValue::Absent("none"),
        secret: true,
        doc: "An HTTP proxy, as `http://host:port`, through which the library reaches Consul (by \
              CONNECT). The library sends the proxy no user and no password. Only this option names a \
              proxy: the library does not read HTTP_PROXY and its kind.",
        ..CLIENT
    },
    OptionRow {
        name: "datacenter",
        kind: TEXT,
        default: DefaultValue::Absent("the agent's own"),
        doc: "The datacenter in which the locks live. A datacenter other than the agent's needs \
              `session_node`. Locks in two datacenters know nothing of each other.",
        ..CLIENT
    },
    OptionRow {
        name: "namespace",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("that of the token"),
        env: Some("CONSUL_NAMESPACE"),
        doc: "The namespace in which the locks live (Consul Enterprise).",
        ..CLIENT
    },
    OptionRow {
        name: "partition",
        kind: TEXT_OR_NONE,
        default: DefaultValue::Absent("that of the agent"),
        env: Some("CONSUL_PARTITION"),
        doc: "The admin partition in which the locks live (Consul Enterprise).",
        ..CLIENT
    },
    OptionRow {
        name: "session_name",
        kind: TEXT,
        default: DefaultValue::Absent("consul_lock PROGRAM@HOST:PID"),
        doc: "What the names of sessions begin with; other programs see it when they ask for the \
              holder of a lock. The library adds a unique ending. PROGRAM is the script where Python, \
              Ruby, Node, Perl, PHP, Lua or Bun runs one, else the executable.",
        ..CLIENT
    },
    OptionRow {
        name: "session_node",
        kind: TEXT,
        default: DefaultValue::Absent("the agent's own"),
        doc: "A node of Consul's catalog that no agent owns, such as `locks`, to bind sessions to: \
              letters, digits and -._, 128 at most. Consul ends all sessions of a node that Consul \
              removes, such as a server that was down for some 10 s or an agent that leaves. Sessions \
              of this node outlive every agent. The library makes the node when it is missing and the \
              token may (`node:write`). Needed where `datacenter` is not the agent's own. Not together \
              with `session_checks`.",
        ..CLIENT
    },
    OptionRow {
        name: "session_checks",
        kind: ValueKind::Text { may_be_empty: true },
        default: DefaultValue::Absent("none"),
        doc: "Checks of the agent's node, with commas between their ids, such as `serfHealth`. When \
              one of the checks is critical, the session ends, and its lock with it. Without any, a \
              check that flaps takes no lock away, and the end of the TTL ends the lock of a process \
              that crashed.",
        ..CLIENT
    },
    OptionRow {
        name: "lock_delay_ms",
        kind: int(0, 60_000),
        default: DefaultValue::Int(0),
        doc: "For how long no session can take a lock that was lost (its session expired or was \
              ended), in milliseconds: time for a holder that does not know of the loss yet. A lock \
              that is released is free at once. Consul's servers keep the delay in memory: a change of \
              leader ends it.",
        ..CLIENT
    },
    OptionRow {
        name: "flags",
        kind: int(0, i64::MAX),
        default: DefaultValue::Int(LOCK_FLAGS.cast_signed()),
        doc: "The flags of lock keys. The default is what Consul's Go client uses, which refuses to \
              wait for a lock whose key has others. The library takes a key that no session holds only \
              if the key has these flags, or is empty and has none.",
        ..CLIENT
    },
    OptionRow {
        name: "connect_timeout_ms",
        kind: int(1, 600_000),
        default: DefaultValue::Int(2_000),
        doc: "How long the library tries to connect to an address, the TLS handshake included, in \
              milliseconds. The look-up of a name is not part of it: a look-up may take as long as the \
              request, and where another address waits for its turn as long as this. The library \
              remembers the answer of a look-up for 10 seconds, and for 10 minutes where no nameserver \
              gives a newer one.",
        ..CLIENT
    },
    OptionRow {
        name: "request_timeout_ms",
        kind: int(1, 600_000),
        default: DefaultValue::Int(10_000),
        doc: "How long one request may take, in milliseconds; also the limit of an acquire with \
              `acquire_timeout_ms` 0. An agent without a leader takes over 7 seconds to say so.",
        ..CLIENT
    },
    OptionRow {
        name: "release_timeout_ms",
        kind: int(1, 600_000),
        default: DefaultValue::Int(10_000),
        doc: "How long a release, or a free that releases, waits for Consul's confirmation, in \
              milliseconds. After that the library goes on in the background. The election of a leader \
              takes 3 seconds at best, and 13 with Consul's own settings.",
        ..CLIENT
    },
    OptionRow {
        name: "max_connections",
        kind: int(4, 200),
        default: DefaultValue::Int(32),
        doc: "How many connections to Consul the client opens at most. An agent allows 200 from one IP \
              address unless its `http_max_conns_per_client` says otherwise, and other processes live \
              at that address, too. Fewer connections never fail a wait: the keys then share the \
              connections, and take turns.",
        ..CLIENT
    },
];
