//! ONE table of all options: name, place, kind, default, environment, text. The parser,
//! `docs/OPTIONS.md` and `abi/api.json` are made from it.

use super::{Kind, Place, Spec};
use crate::key::MAX_VALUE;

/// Every option there is.
pub const TABLE: &[Spec] = &[
    Spec {
        name: "acquire_timeout_ms",
        places: &[Place::Lock, Place::Default],
        kind: Kind::Int {
            min: -1,
            max: 86_400_000,
        },
        default: "0",
        env: None,
        secret: false,
        doc: "How long an acquire waits for a lock that somebody else holds, in milliseconds. \
              0: exactly one attempt. -1: until cancelled.",
    },
    Spec {
        name: "lock_timeout_seconds",
        places: &[Place::Lock, Place::Default],
        kind: Kind::Int {
            min: 10,
            max: 86_400,
        },
        default: "180",
        env: None,
        secret: false,
        doc: "The life of a lock that is never released, in seconds: the TTL of its session. \
              Choose it longer than the work under the lock can take. Consul may keep the lock up \
              to twice as long; the holder must never count on that.",
    },
    Spec {
        name: "value",
        places: &[Place::Lock],
        kind: Kind::Bytes { max: MAX_VALUE },
        default: "what the value generator gives, else a JSON object with `locked_at`",
        env: None,
        secret: true,
        doc: "What is stored under the key while the lock is held. Others can read it: it tells \
              them who works, and is no place for a secret.",
    },
    Spec {
        name: "auto_renew",
        places: &[Place::Lock],
        kind: Kind::Bool,
        default: "false",
        env: None,
        secret: false,
        doc: "Whether the library renews the lock while it is held, every third of \
              `lock_timeout_seconds`, until it is released or lost. For work whose length nobody \
              knows: a process that hangs then keeps the lock as long as it lives, unless \
              `max_lifetime_seconds` says otherwise. An acquire for which the system gives no thread \
              to do so fails with NO_RESOURCES and takes nothing.",
    },
    Spec {
        name: "max_lifetime_seconds",
        places: &[Place::Lock],
        kind: Kind::Int {
            min: 0,
            max: 31_536_000,
        },
        default: "0",
        env: None,
        secret: false,
        doc: "With `auto_renew`: how long after the acquire the lock is renewed, in seconds; then \
              it ends within `lock_timeout_seconds`, unless it is renewed by a call. 0: no limit.",
    },
    Spec {
        name: "monitor",
        places: &[Place::Lock],
        kind: Kind::Bool,
        default: "true",
        env: None,
        secret: false,
        doc: "Whether a lock that is held for longer than a second is watched, so that a loss (its \
              session ended by an agent's leave, an operator or a deregistration; its key deleted) is \
              told in a round trip, not at the end of its time. Takes a connection while it is held, \
              10 of a client at most; further locks go without.",
    },
    Spec {
        name: "fair",
        places: &[Place::Lock],
        kind: Kind::Bool,
        default: "true",
        env: None,
        secret: false,
        doc: "Whether a waiting acquire stands in line with the other processes, first come first \
              served, for 3 Raft writes and a time that does not grow with the waiters. false: all \
              who wait try when the lock is given back, and luck decides; for two or three \
              contenders that must never wait `queue_grace_ms` for one that died.",
    },
    Spec {
        name: "queue_grace_ms",
        places: &[Place::Lock],
        kind: Kind::Int {
            min: 10,
            max: 60_000,
        },
        default: "300",
        env: None,
        secret: false,
        doc: "How long whoever is first in line may leave the lock free before the next one passes \
              it, in milliseconds; 20 round trips to Consul if that is more. Whoever is passed \
              loses its place, and nothing else.",
    },
    Spec {
        name: "lock_key_pattern",
        places: &[Place::Default],
        kind: Kind::Pattern,
        default: "locks/ephemeral/%s",
        env: None,
        secret: false,
        doc: "Where lock keys live in Consul's KV store. The one `%s` becomes the key of the \
              lock; any other `%` stands for itself. All programs that share a lock need the same \
              pattern.",
    },
    Spec {
        name: "address",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "127.0.0.1:8500",
        env: Some("CONSUL_HTTP_ADDR"),
        secret: true,
        doc: "Where Consul's HTTP API is: `host:port`, `http://host:port`, `https://host:port` \
              or `unix:///path`; an IPv6 address in brackets, with a zone as in \
              `[fe80::1%25eth0]:8500`; after a host and port also a path, where the API lies below \
              one. Best the agent on the same machine. Several, with commas between them, are \
              tried in order: where one cannot be reached or cannot serve, the next one is asked \
              at once, and that one comes last for 10 seconds.",
    },
    Spec {
        name: "ssl",
        places: &[Place::Client],
        kind: Kind::Bool,
        default: "false",
        env: Some("CONSUL_HTTP_SSL"),
        secret: false,
        doc: "Whether to speak TLS to every address, `http://` or not. An address with \
              `https://` does in any case.",
    },
    Spec {
        name: "ssl_verify",
        places: &[Place::Client],
        kind: Kind::Bool,
        default: "true",
        env: Some("CONSUL_HTTP_SSL_VERIFY"),
        secret: false,
        doc: "Whether Consul's certificate must be of a CA that we trust, and be for the name \
              that we connect to. false is for experiments: whoever stands in between can read \
              the token. The log warns of it. Either way the certificate is one of X.509 \
              version 3, with an RSA, P-256, P-384 or Ed25519 key.",
    },
    Spec {
        name: "ca_file",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "the system's CAs",
        env: Some("CONSUL_CACERT"),
        secret: false,
        doc: "A file with the certificates, in PEM, of the CAs that Consul's certificate may be \
              of, or with that certificate, if Consul has signed it itself. Takes the place of \
              the system's. One that cannot be read is an error. A CA whose own certificate is out \
              of date, or not for servers, is refused, as by Consul's own client. Files for TLS are \
              regular ones of 4 MB at most. They are read when the client is made, again when they \
              have changed and a connection is opened, and when one side refuses the other; new ones \
              that cannot be used leave the old ones in place.",
    },
    Spec {
        name: "ca_path",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "none",
        env: Some("CONSUL_CAPATH"),
        secret: false,
        doc: "A folder with such files, also in folders of it, 4,096 at most and 32 MB; not used if \
              there is a `ca_file`.",
    },
    Spec {
        name: "client_cert",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "none",
        env: Some("CONSUL_CLIENT_CERT"),
        secret: false,
        doc: "A file with our certificate in PEM, and those between it and its CA, for an agent \
              with `verify_incoming`. Needs `client_key`. Both may be replaced, as `ca_file`: put \
              each into its place by renaming it.",
    },
    Spec {
        name: "client_key",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "none",
        env: Some("CONSUL_CLIENT_KEY"),
        secret: false,
        doc: "A file with the private key of `client_cert` in PEM, not encrypted: PKCS#8, PKCS#1 \
              or SEC1.",
    },
    Spec {
        name: "tls_server_name",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "the host of the address",
        env: Some("CONSUL_TLS_SERVER_NAME"),
        secret: false,
        doc: "The name that Consul's certificate must be for, such as `server.dc1.consul`; also \
              sent as SNI. A port behind it does not count.",
    },
    Spec {
        name: "token",
        places: &[Place::Client],
        kind: Kind::Text { may_be_empty: true },
        default: "none",
        env: Some("CONSUL_HTTP_TOKEN"),
        secret: true,
        doc: "The ACL token to send. docs/acl.md says what it must be allowed. Wins over \
              `token_file`. Empty: send none, even if the environment has one. Never logged.",
    },
    Spec {
        name: "token_file",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "none",
        env: Some("CONSUL_HTTP_TOKEN_FILE"),
        secret: false,
        doc: "A file with the ACL token; white space around it does not count. It is read when \
              the client is made, and again, by its path, when Consul refuses the token: so a \
              token that was replaced meanwhile is found. A regular file of 64 KB at most.",
    },
    Spec {
        name: "http_auth",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "none",
        env: Some("CONSUL_HTTP_AUTH"),
        secret: true,
        doc: "User and password, as `user:password`, for a proxy in front of Consul that wants \
              HTTP basic authentication. Never logged.",
    },
    Spec {
        name: "proxy",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "none",
        env: None,
        secret: true,
        doc: "An HTTP proxy, as `http://host:port`, through which Consul is reached (by \
              CONNECT); it is told no user and no password. Only this option makes use of one: \
              HTTP_PROXY and its kind do not.",
    },
    Spec {
        name: "datacenter",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "the agent's own",
        env: None,
        secret: false,
        doc: "The datacenter in which the locks live; another one than the agent's needs \
              `session_node`. Locks in two datacenters know nothing of each other.",
    },
    Spec {
        name: "namespace",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "that of the token",
        env: Some("CONSUL_NAMESPACE"),
        secret: false,
        doc: "The namespace in which the locks live (Consul Enterprise).",
    },
    Spec {
        name: "partition",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "that of the agent",
        env: Some("CONSUL_PARTITION"),
        secret: false,
        doc: "The admin partition in which the locks live (Consul Enterprise).",
    },
    Spec {
        name: "session_name",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "consul_lock PROGRAM@HOST:PID",
        env: None,
        secret: false,
        doc: "What the names of sessions begin with. Others are told it when they ask who holds \
              a lock. A unique ending is added. PROGRAM is the script where Python, Ruby, Node, Perl, \
              PHP, Lua or Bun runs one, else the executable.",
    },
    Spec {
        name: "session_node",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "the agent's own",
        env: None,
        secret: false,
        doc: "A node of Consul's catalog that no agent owns, such as `locks`, to bind sessions to: letters, \
              digits and -._, 128 at most. Consul ends all sessions of a node that it removes, as \
              it does with a server that was down for some 10 s or an agent that leaves; those of \
              this node outlive every agent. The library makes the node when it is missing and \
              the token may (`node:write`). Needed where `datacenter` is not the agent's own. Not \
              together with `session_checks`.",
    },
    Spec {
        name: "session_checks",
        places: &[Place::Client],
        kind: Kind::Text { may_be_empty: true },
        default: "none",
        env: None,
        secret: false,
        doc: "Checks of the agent's node, with commas between their ids, such as `serfHealth`. \
              When one of them is critical, the session ends, and its lock with it. Without any, \
              a check that flaps takes no lock away; a crash is noticed when the TTL is over.",
    },
    Spec {
        name: "lock_delay_ms",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 0,
            max: 60_000,
        },
        default: "0",
        env: None,
        secret: false,
        doc: "For how long nobody can take a lock that was lost (its session expired or was \
              ended), in milliseconds: time for a holder that does not know it yet. A lock that \
              is given back is free at once. Servers keep it in memory: a change of leader ends \
              it.",
    },
    Spec {
        name: "flags",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 0,
            max: 9_223_372_036_854_775_807,
        },
        default: "3304740253564472344",
        env: None,
        secret: false,
        doc: "The flags of lock keys. The default is what Consul's Go client uses, which refuses \
              to wait for a lock whose key has others. A key that no session holds is taken only if \
              it has these flags, or is empty and has none.",
    },
    Spec {
        name: "connect_timeout_ms",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 1,
            max: 600_000,
        },
        default: "2000",
        env: None,
        secret: false,
        doc: "How long to try to connect to an address, the TLS handshake included, in \
              milliseconds. The look-up of a name is not part of it: a look-up may take as long as \
              the request, and while another address waits for its turn as long as this. An answer is \
              remembered for 10 seconds, and for 10 minutes where no nameserver gives a newer one.",
    },
    Spec {
        name: "request_timeout_ms",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 1,
            max: 600_000,
        },
        default: "10000",
        env: None,
        secret: false,
        doc: "How long one request may take, in milliseconds; also the limit of an acquire with \
              `acquire_timeout_ms` 0. An agent without a leader takes over 7 seconds to say so.",
    },
    Spec {
        name: "release_timeout_ms",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 1,
            max: 600_000,
        },
        default: "10000",
        env: None,
        secret: false,
        doc: "How long a release, or a free that releases, waits for Consul's confirmation, in \
              milliseconds. After that the library goes on in the background. The election of a \
              leader takes 3 seconds at best, and 13 with Consul's own settings.",
    },
    Spec {
        name: "max_connections",
        places: &[Place::Client],
        kind: Kind::Int { min: 4, max: 200 },
        default: "32",
        env: None,
        secret: false,
        doc: "Connections to Consul at most. An agent allows 200 from one IP address unless its \
              `http_max_conns_per_client` says otherwise, and other processes live there, too. \
              Fewer connections never fail a wait: keys then share, and take turns.",
    },
];
