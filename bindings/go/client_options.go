//go:build cgo

package consullock

import (
	"strconv"
	"strings"
	"time"
)

// A ClientOption is an option of a client. The last setting of an option counts; a wrong one is refused by
// [NewClient]. What is not set comes from the environment, from the same variables that the consul command
// reads.
type ClientOption func(*settings)

// WithClientOption sets any option of a client by its name, such as "max_connections".
func WithClientOption(name, value string) ClientOption {
	return func(s *settings) { s.set(name, value) }
}

func withText(function, name, value string) ClientOption {
	return func(s *settings) { s.setBy(function, name, value, 0) }
}

func withBool(function, name string, yes bool) ClientOption {
	return withText(function, name, strconv.FormatBool(yes))
}

// WithAddress sets where Consul's HTTP API is: "host:port", "http://host:port", "https://host:port" or
// "unix:///path"; after a host and port also a path, where the API lies below one. Several are tried in order.
// Else CONSUL_HTTP_ADDR says it, else it is 127.0.0.1:8500.
func WithAddress(addresses ...string) ClientOption {
	return withText("WithAddress", "address", strings.Join(addresses, ","))
}

// WithTLS sets whether to speak TLS to every address; an "https://" one is spoken to so in any case. Else
// CONSUL_HTTP_SSL says it ("ssl").
func WithTLS(yes bool) ClientOption { return withBool("WithTLS", "ssl", yes) }

// WithTLSVerify sets whether Consul's certificate must be of a CA that we trust, and be for the name that we
// connect to. Else CONSUL_HTTP_SSL_VERIFY says it, else it must ("ssl_verify"). false is for experiments:
// whoever stands in between can read the token.
func WithTLSVerify(yes bool) ClientOption { return withBool("WithTLSVerify", "ssl_verify", yes) }

// WithCAFile sets the file with the certificates, in PEM, of the CAs that Consul's certificate may be of,
// instead of the system's. Else CONSUL_CACERT says it.
func WithCAFile(path string) ClientOption { return withText("WithCAFile", "ca_file", path) }

// WithCAPath sets a folder with such files, which is not used if there is a [WithCAFile]. Else CONSUL_CAPATH
// says it.
func WithCAPath(path string) ClientOption { return withText("WithCAPath", "ca_path", path) }

// WithClientCert sets the files with our certificate and its private key, both in PEM, the key not encrypted,
// for an agent with verify_incoming. Else CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY say it.
func WithClientCert(certFile, keyFile string) ClientOption {
	return func(s *settings) {
		s.setBy("WithClientCert", "client_cert", certFile, 0)
		s.setBy("WithClientCert", "client_key", keyFile, 0)
	}
}

// WithTLSServerName sets the name that Consul's certificate must be for, such as "server.dc1.consul". Else
// CONSUL_TLS_SERVER_NAME says it, else it is the host of the address.
func WithTLSServerName(name string) ClientOption {
	return withText("WithTLSServerName", "tls_server_name", name)
}

// WithToken sets the ACL token, which is never logged; empty: none is sent. It wins over [WithTokenFile]. Else
// it is CONSUL_HTTP_TOKEN.
func WithToken(token string) ClientOption { return withText("WithToken", "token", token) }

// WithTokenFile sets a file with the ACL token. It is read again when Consul refuses the token: so one that
// was replaced meanwhile is found. Else CONSUL_HTTP_TOKEN_FILE says it.
func WithTokenFile(path string) ClientOption { return withText("WithTokenFile", "token_file", path) }

// WithHTTPAuth sets user and password for HTTP basic authentication, for a proxy in front of Consul that wants
// them. They are never logged. Else CONSUL_HTTP_AUTH says them.
func WithHTTPAuth(user, password string) ClientOption {
	return func(s *settings) {
		if strings.Contains(user, ":") {
			s.refuse(ErrInvalidOption, "WithHTTPAuth: a colon in the user would end it")
			return
		}
		s.set("http_auth", user+":"+password)
	}
}

// WithProxy sets an HTTP proxy, "http://host:port", through which Consul is reached (by CONNECT). Nothing else
// does: HTTP_PROXY and its kind are not read.
func WithProxy(url string) ClientOption { return withText("WithProxy", "proxy", url) }

// WithDatacenter sets the datacenter in which the locks live; else it is the agent's own.
func WithDatacenter(name string) ClientOption { return withText("WithDatacenter", "datacenter", name) }

// WithNamespace sets the namespace in which the locks live (Consul Enterprise). Else CONSUL_NAMESPACE says it,
// else it is that of the token.
func WithNamespace(name string) ClientOption { return withText("WithNamespace", "namespace", name) }

// WithPartition sets the admin partition in which the locks live (Consul Enterprise). Else CONSUL_PARTITION
// says it, else it is that of the agent.
func WithPartition(name string) ClientOption { return withText("WithPartition", "partition", name) }

// WithSessionName sets what the names of sessions begin with, which others are told when they ask who has a
// lock; a unique ending is added. The default is "consul_lock PROGRAM@HOST:PID".
func WithSessionName(name string) ClientOption {
	return withText("WithSessionName", "session_name", name)
}

// WithSessionNode binds sessions to a node of Consul's catalog that no agent owns, such as "locks": they then outlive
// every agent. Consul ends the sessions of a node that it removes, as it does with a server that was down for some
// ten seconds or an agent that leaves; the default is the agent's own. The library makes the node when it is missing
// and the token may (node:write). It does not go together with WithSessionChecks.
func WithSessionNode(name string) ClientOption {
	return withText("WithSessionNode", "session_node", name)
}

// WithSessionChecks sets checks of the agent's node by their ids, such as "serfHealth": when one of them is
// critical, the lock is lost. The default is none, so a check that flaps takes no lock away.
func WithSessionChecks(ids ...string) ClientOption {
	return withText("WithSessionChecks", "session_checks", strings.Join(ids, ","))
}

// WithLockDelay sets for how long nobody can take a lock that was lost: at most 60 s, rounded up to
// milliseconds; the default is 0 ("lock_delay_ms"). It is time for a holder that does not know it yet. A lock
// that is given back is free at once.
func WithLockDelay(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithLockDelay", "lock_delay_ms", d, time.Millisecond) }
}

// WithFlags sets the flags of lock keys, below 1<<63. The default is what Consul's own Go client uses, which
// refuses to wait for a lock whose key has others.
func WithFlags(flags uint64) ClientOption {
	return withText("WithFlags", "flags", strconv.FormatUint(flags, 10))
}

// WithConnectTimeout sets how long to try to connect to an address, the TLS handshake included: 1 ms to 10
// min, rounded up to milliseconds; the default is 2 s ("connect_timeout_ms").
func WithConnectTimeout(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithConnectTimeout", "connect_timeout_ms", d, time.Millisecond) }
}

// WithRequestTimeout sets how long one request may take, which is also the limit of an acquire that makes one
// attempt: 1 ms to 10 min, rounded up to milliseconds; the default is 10 s ("request_timeout_ms").
func WithRequestTimeout(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithRequestTimeout", "request_timeout_ms", d, time.Millisecond) }
}

// WithReleaseTimeout sets how long a release waits for Consul's confirmation: 1 ms to 10 min, rounded up to
// milliseconds; the default is 10 s ("release_timeout_ms"). After that the library goes on in the background.
func WithReleaseTimeout(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithReleaseTimeout", "release_timeout_ms", d, time.Millisecond) }
}

// WithMaxConnections sets how many connections to Consul there are at most: 4 to 200; the default is 32. Fewer
// never fail a wait: keys then share one, and take turns.
func WithMaxConnections(n int) ClientOption {
	return withText("WithMaxConnections", "max_connections", strconv.Itoa(n))
}
