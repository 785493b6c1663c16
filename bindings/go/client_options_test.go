package consullock_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// holds acquires and releases a lock with a client of these options.
func holds(t *testing.T, opts ...consullock.ClientOption) error {
	t.Helper()
	client := newClient(t, append(opts, consullock.WithConnectTimeout(5*time.Second))...)
	return consullock.Hold(context.Background(), newKey(t), func(context.Context) error { return nil },
		consullock.WithClient(client))
}

// toConsul passes requests on to Consul.
func toConsul(t *testing.T) http.Handler {
	return httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: env(t, "CONSUL_HTTP_ADDR")})
}

const serverName = "server.dc1.consul"

// The paths of a CA, and of a certificate of that CA for serverName and for a client.
type certificates struct{ folder, ca, cert, key string }

func newCertificates(t *testing.T) certificates {
	t.Helper()
	files := t.TempDir() // beside the folder of the CA
	all := certificates{folder: t.TempDir()}
	all.ca = filepath.Join(all.folder, "ca.pem")
	all.cert, all.key = filepath.Join(files, "cert.pem"), filepath.Join(files, "key.pem")
	write := func(path, kind string, der []byte) {
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of a test"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(t, err)
	write(all.ca, "CERTIFICATE", der)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{serverName},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err = x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	must(t, err)
	write(all.cert, "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	write(all.key, "PRIVATE KEY", der)
	return all
}

func TestTLS(t *testing.T) {
	own := newCertificates(t)
	pair, err := tls.LoadX509KeyPair(own.cert, own.key)
	must(t, err)
	ca, err := os.ReadFile(own.ca)
	must(t, err)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	server := httptest.NewUnstartedServer(toConsul(t))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: trusted}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the test provokes refusals
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })

	address := consullock.WithAddress(server.Listener.Addr().String())
	yes, file := consullock.WithTLS(true), consullock.WithCAFile(own.ca)
	name, cert := consullock.WithTLSServerName(serverName), consullock.WithClientCert(own.cert, own.key)
	must(t, holds(t, address, yes, file, name, cert))
	must(t, holds(t, address, yes, consullock.WithCAPath(own.folder), name, cert))
	must(t, holds(t, consullock.WithAddress(server.URL), file, name, cert))
	must(t, holds(t, address, yes, consullock.WithTLSVerify(false), cert))
	// The message names the option that is missing.
	for missing, options := range map[string][]consullock.ClientOption{
		"set ca_file":         {address, yes, name, cert},
		"set tls_server_name": {address, yes, file, cert},
		"set client_cert":     {address, yes, file, name},
		"option ssl":          {address, file, name, cert},
	} {
		err := holds(t, options...)
		wants(t, err, consullock.ErrUnavailable)
		if !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: %v", missing, err)
		}
	}
}

func TestSeveralAddressesAndAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consul.sock")
	listener, err := net.Listen("unix", path)
	must(t, err)
	server := &http.Server{Handler: toConsul(t)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	must(t, holds(t, consullock.WithAddress(env(t, "TEST_CONSUL_DEAD_ADDR"), "unix://"+path)))
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(path, []byte("secret-of-a-test\n"), 0o600))
	client := newClient(t, consullock.WithAddress(env(t, "TEST_CONSUL_ACL_ADDR")), consullock.WithTokenFile(path))
	err := newLock(t, newKey(t), consullock.WithClient(client)).Acquire(context.Background())
	wants(t, err, consullock.ErrDenied)
	if strings.Contains(err.Error(), "secret-of-a-test") {
		t.Fatal(err)
	}
	must(t, os.WriteFile(path, []byte("root\n"), 0o600)) // the same client reads it again
	must(t, newLock(t, newKey(t), consullock.WithClient(client)).Acquire(context.Background()))
}

// The test plays Consul, and a proxy before Consul. Both record each request and refuse it.
func TestClientOptionsStandInTheRequest(t *testing.T) {
	type question struct {
		*http.Request
		body string
	}
	asked := make(chan question, 100)
	server := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		asked <- question{request, string(body)}
		to.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	first := func(opts ...consullock.ClientOption) question {
		t.Helper()
		if err := holds(t, opts...); err == nil || strings.Contains(err.Error(), "pass:word") {
			t.Fatal(err)
		}
		return <-asked
	}
	request := first(consullock.WithAddress(server.URL+"/below"), consullock.WithHTTPAuth("user", "pass:word"),
		consullock.WithNamespace("team"), consullock.WithPartition("part"), consullock.WithDatacenter("dc9"))
	user, password, _ := request.BasicAuth()
	// A transaction has them with each of its operations.
	place := regexp.MustCompile(`^\[\{"KV":\{[^}]*"Namespace":"team","Partition":"part"`)
	if user != "user" || password != "pass:word" || request.URL.Query().Get("dc") != "dc9" ||
		request.URL.Path != "/below/v1/txn" || !place.MatchString(request.body) {
		t.Fatal(user, password, request.URL, request.body)
	}
	for len(asked) > 0 {
		<-asked
	}
	request = first(consullock.WithAddress(env(t, "CONSUL_HTTP_ADDR")), consullock.WithProxy(server.URL))
	if request.Method != "CONNECT" || request.Host != env(t, "CONSUL_HTTP_ADDR") {
		t.Fatal(request.Method, request.Host)
	}
}

func TestClientOptionsStandInSessionAndKey(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	client := newClient(t, consullock.WithSessionName("billing"), consullock.WithSessionChecks("serfHealth"),
		consullock.WithLockDelay(1500*time.Millisecond-1), consullock.WithFlags(7), consullock.WithMaxConnections(4))
	lock := newLock(t, key, consullock.WithClient(client))
	must(t, lock.Acquire(ctx))
	var sessions []struct {
		Name       string
		NodeChecks []string
		LockDelay  time.Duration
	}
	must(t, json.Unmarshal([]byte(consul(t, "GET", "session/info/"+lock.SessionID(), "")), &sessions))
	if got := sessions[0]; !strings.HasPrefix(got.Name, "billing ") || len(got.NodeChecks) != 1 ||
		got.NodeChecks[0] != "serfHealth" || got.LockDelay != 1500*time.Millisecond {
		t.Fatalf("%+v", got)
	}
	var keys []struct{ Flags uint64 }
	must(t, json.Unmarshal([]byte(consul(t, "GET", "kv/"+full(key), "")), &keys))
	if keys[0].Flags != 7 {
		t.Fatalf("%+v", keys)
	}
	lock = newLock(t, newKey(t), consullock.WithClient(newClient(t, consullock.WithSessionNode("of-no-agent"))))
	must(t, lock.Acquire(ctx))
	if got := consul(t, "GET", "session/info/"+lock.SessionID(), ""); !strings.Contains(got, `"of-no-agent"`) {
		t.Fatal(got)
	}
}
