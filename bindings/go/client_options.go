//go:build cgo

package consullock

import (
	"strconv"
	"strings"
	"time"
)

// A ClientOption is an option of a client. The last setting of an option counts. [NewClient] refuses a wrong one.
// An option that is not set comes from the environment, from the variable that the consul command reads.
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
// "unix:///path". A path may follow the port, where the API lies below one. The library tries several addresses in
// order. The default is CONSUL_HTTP_ADDR, else 127.0.0.1:8500.
func WithAddress(addresses ...string) ClientOption {
	return withText("WithAddress", "address", strings.Join(addresses, ","))
}

// WithTLS sets whether to speak TLS to every address ("ssl"). The library speaks TLS to an "https://" address in any
// case. The default is CONSUL_HTTP_SSL, else false.
func WithTLS(yes bool) ClientOption { return withBool("WithTLS", "ssl", yes) }

// WithTLSVerify sets whether a trusted CA must have signed Consul's certificate, for the name that the library
// connects to ("ssl_verify"). The default is CONSUL_HTTP_SSL_VERIFY, else true. false is for experiments: an attacker
// between the program and Consul can then read the token.
func WithTLSVerify(yes bool) ClientOption { return withBool("WithTLSVerify", "ssl_verify", yes) }

// WithCAFile sets the PEM file with the CAs that the library trusts, instead of the system's CAs. The default is
// CONSUL_CACERT.
func WithCAFile(path string) ClientOption { return withText("WithCAFile", "ca_file", path) }

// WithCAPath sets a folder with such files. [WithCAFile] overrides it. The default is CONSUL_CAPATH.
func WithCAPath(path string) ClientOption { return withText("WithCAPath", "ca_path", path) }

// WithClientCert sets the PEM files with the client's certificate and its unencrypted private key, for an agent with
// verify_incoming. The defaults are CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY.
func WithClientCert(certFile, keyFile string) ClientOption {
	return func(s *settings) {
		s.setBy("WithClientCert", "client_cert", certFile, 0)
		s.setBy("WithClientCert", "client_key", keyFile, 0)
	}
}

// WithTLSServerName sets the name that Consul's certificate must be for, such as "server.dc1.consul". The default is
// CONSUL_TLS_SERVER_NAME, else the host of the address.
func WithTLSServerName(name string) ClientOption {
	return withText("WithTLSServerName", "tls_server_name", name)
}

// WithToken sets the ACL token, which the library never logs. With an empty token the library sends none. WithToken
// overrides [WithTokenFile]. The default is CONSUL_HTTP_TOKEN.
func WithToken(token string) ClientOption { return withText("WithToken", "token", token) }

// WithTokenFile sets a file with the ACL token. The library reads the file again when Consul refuses the token, so
// it finds a replaced token. The default is CONSUL_HTTP_TOKEN_FILE.
func WithTokenFile(path string) ClientOption { return withText("WithTokenFile", "token_file", path) }

// WithHTTPAuth sets user and password for HTTP basic authentication, for a proxy in front of Consul that demands
// them. The library never logs them. The default is CONSUL_HTTP_AUTH.
func WithHTTPAuth(user, password string) ClientOption {
	return func(s *settings) {
		if strings.Contains(user, ":") {
			s.refuse(ErrInvalidOption, "WithHTTPAuth: the user must not contain a colon")
			return
		}
		s.set("http_auth", user+":"+password)
	}
}

// WithProxy sets an HTTP proxy, "http://host:port", through which the library reaches Consul (by CONNECT). The
// library does not read HTTP_PROXY, HTTPS_PROXY or NO_PROXY.
func WithProxy(url string) ClientOption { return withText("WithProxy", "proxy", url) }

// WithDatacenter sets the datacenter in which the locks live. The default is the agent's own.
func WithDatacenter(name string) ClientOption { return withText("WithDatacenter", "datacenter", name) }

// WithNamespace sets the namespace in which the locks live (Consul Enterprise). The default is CONSUL_NAMESPACE, else
// the token's own.
func WithNamespace(name string) ClientOption { return withText("WithNamespace", "namespace", name) }

// WithPartition sets the admin partition in which the locks live (Consul Enterprise). The default is
// CONSUL_PARTITION, else the agent's own.
func WithPartition(name string) ClientOption { return withText("WithPartition", "partition", name) }

// WithSessionName sets the beginning of the names of sessions, which other processes see when they ask for the holder
// of a lock. The library adds a unique ending. The default is "consul_lock PROGRAM@HOST:PID".
func WithSessionName(name string) ClientOption {
	return withText("WithSessionName", "session_name", name)
}

// WithSessionNode binds sessions to a node of Consul's catalog that no agent owns, such as "locks", so that the
// sessions outlive every agent. The default is the agent's own node: Consul ends the sessions of a node that it
// removes, such as an agent that leaves, or a server that was down for some ten seconds. The library makes a missing
// node if the token has node:write. WithSessionNode and WithSessionChecks exclude each other.
func WithSessionNode(name string) ClientOption {
	return withText("WithSessionNode", "session_node", name)
}

// WithSessionChecks sets checks of the agent's node by their ids, such as "serfHealth". The lock is lost when one of
// them is critical. The default is none, so that a check that flaps costs no lock.
func WithSessionChecks(ids ...string) ClientOption {
	return withText("WithSessionChecks", "session_checks", strings.Join(ids, ","))
}

// WithLockDelay sets for how long Consul refuses every acquire of a lock that was lost: at most 60 s, rounded up to
// milliseconds ("lock_delay_ms"). The default is 0. The delay is time for a holder that does not know of the loss yet.
// A released lock is free at once.
func WithLockDelay(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithLockDelay", "lock_delay_ms", d, time.Millisecond) }
}

// WithFlags sets the flags of lock keys, below 1<<63. The default is the value of Consul's own Go client, which
// refuses to wait for a lock with other flags.
func WithFlags(flags uint64) ClientOption {
	return withText("WithFlags", "flags", strconv.FormatUint(flags, 10))
}

// WithConnectTimeout sets how long the library tries to connect to an address, the TLS handshake included: 1 ms to
// 10 min, rounded up to milliseconds ("connect_timeout_ms"). The default is 2 s.
func WithConnectTimeout(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithConnectTimeout", "connect_timeout_ms", d, time.Millisecond) }
}

// WithRequestTimeout sets how long one request may take: 1 ms to 10 min, rounded up to milliseconds
// ("request_timeout_ms"). The default is 10 s. An acquire that makes one attempt takes no longer.
func WithRequestTimeout(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithRequestTimeout", "request_timeout_ms", d, time.Millisecond) }
}

// WithReleaseTimeout sets how long a release waits for Consul's confirmation: 1 ms to 10 min, rounded up to
// milliseconds; the default is 10 s ("release_timeout_ms"). After that the library goes on in the background.
func WithReleaseTimeout(d time.Duration) ClientOption {
	return func(s *settings) { s.setTime("WithReleaseTimeout", "release_timeout_ms", d, time.Millisecond) }
}

// WithMaxConnections sets the largest number of connections to Consul: 4 to 200. The default is 32. A wait never
// fails for want of a connection: keys share connections and take turns.
func WithMaxConnections(n int) ClientOption {
	return withText("WithMaxConnections", "max_connections", strconv.Itoa(n))
}
