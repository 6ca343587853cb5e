package kvroute

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key, a.pem, _ = signed(t, name, nil)
	return a
}

// signed makes a certificate, by an authority or, if that is nil, by itself.
func signed(t testing.TB, name string, by *authority) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: by == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent, parentKey := template, key
	if by != nil {
		parent, parentKey = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key, encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// serveTLS is a server with a certificate of servers; it asks for one of clients if that is not nil.
func serveTLS(t testing.TB, handler http.Handler, clients *authority) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{}
	if clients != nil {
		server.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		server.TLS.ClientCAs = x509.NewCertPool()
		server.TLS.ClientCAs.AddCert(clients.certificate)
		_, _, certificate, key := signed(t, "server", clients)
		pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		server.TLS.Certificates = []tls.Certificate{pair}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// whoAsks answers with the name in the client's certificate.
var whoAsks = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprint(w, r.Proto, " ", r.TLS.PeerCertificates[0].Subject.CommonName, " ", len(r.TLS.PeerCertificates))
})

func identity(t testing.TB, name string, by *authority, authorities ...*authority) string {
	t.Helper()
	_, _, certificate, key := signed(t, name, by)
	text := certificate + key
	for _, a := range authorities {
		text += a.pem
	}
	return write(t, name+".pem", text)
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// captureLog returns what is logged until the test ends.
func captureLog(t testing.TB) *strings.Builder {
	text := &strings.Builder{}
	log.SetOutput(text)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	return text
}

func TestServersAreShownTheIdentityAndCheckedWithIt(t *testing.T) {
	ours, theirs, other := newAuthority(t, "ours"), newAuthority(t, "theirs"), newAuthority(t, "other")
	a, b := serveTLS(t, whoAsks, ours), serveTLS(t, whoAsks, theirs)
	routes := map[string]route{"": {Target: a.URL}, "/user/b": {Target: b.URL}}
	server := site(t, Config{IdentityFile: identity(t, "proxy", ours, other, ours)}, routes)
	_, body := get(t, server.URL+"/")
	equal(t, "one of ours", body, "HTTP/1.1 proxy 1")
	response, _ := get(t, server.URL+"/user/b/")
	equal(t, "one that another has signed", response.StatusCode, 502)
	server = site(t, Config{}, routes)
	response, _ = get(t, server.URL+"/")
	equal(t, "without an identity", response.StatusCode, 502)
	server = site(t, Config{IdentityFile: identity(t, "stranger", other, ours)}, routes)
	response, _ = get(t, server.URL+"/")
	equal(t, "with another's identity", response.StatusCode, 502)
}

func TestAnIdentityThatCannotBeUsedIsNotUsed(t *testing.T) {
	ours := newAuthority(t, "ours")
	backend := serveTLS(t, whoAsks, ours)
	_, _, certificate, key := signed(t, "proxy", ours)
	_, _, otherCertificate, _ := signed(t, "other", ours)
	bad := map[string]string{
		"empty": "", "no PEM": "x", "no key": certificate + ours.pem, "no authority": certificate + key, "no certificate": key + ours.pem,
		"another's key": otherCertificate + key + ours.pem, "cut off": (certificate + key + ours.pem)[:len(certificate)+len(key)/2],
		"a broken certificate": strings.Replace(certificate, "MI", "IM", 1) + key + ours.pem,
		"broken authorities":   certificate + key + encode("CERTIFICATE", []byte("x")),
	}
	for name, text := range bad {
		if _, err := readIdentity(write(t, "bad.pem", text)); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
	if _, err := readIdentity(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
	site(t, Config{IdentityFile: identity(t, "proxy", ours, ours)}, map[string]route{"": {Target: backend.URL}})
	logged := captureLog(t)
	for _, file := range []string{"/no/such/file", write(t, "bad.pem", "x")} {
		server := serve(t, middleware(t, Config{Mode: "route", IdentityFile: file}))
		_, body := get(t, server.URL+"/")
		equal(t, "the last good one stays", body, "HTTP/1.1 proxy 1")
	}
	if lines := strings.Split(strings.TrimSpace(logged.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "/no/such/file cannot be used") {
		t.Errorf("logged: %q", lines)
	}
	reset(t)
	put(t, "1-w.1", map[string]route{"": {Target: serve(t, named("plain")).URL}})
	server := serve(t, middleware(t, Config{Mode: "route", IdentityFile: "/no/such/file"}))
	_, body := get(t, server.URL+"/")
	equal(t, "servers without TLS are reached all the same", body, "plain /")
	equal(t, "it is tried again", len(transports), 0)
}

func TestTransportsAreSharedAndFew(t *testing.T) {
	reset(t)
	ours := newAuthority(t, "ours")
	file := identity(t, "proxy", ours, ours)
	first := transportFor(&Config{IdentityFile: file, DialTimeout: 1})
	for range 20 {
		equal(t, "with the same configuration", transportFor(&Config{IdentityFile: file, DialTimeout: 1, ErrorTarget: "x"}) == first, true)
	}
	for n := range 20 {
		if transportFor(&Config{DialTimeout: n}) == first {
			t.Error("another configuration has the same transport")
		}
	}
	equal(t, "kept", len(transports), mostTransports)
	// Nothing leads to those that are not kept but who uses them.
	equal(t, "the oldest is not kept", transportFor(&Config{IdentityFile: file, DialTimeout: 1}) == first, false)
}

func TestIdleConnectionsOfAReplacedTransportAreClosed(t *testing.T) {
	ended := make(chan bool, 1)
	backend := httptest.NewUnstartedServer(named("x"))
	backend.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- true
		}
	}
	backend.Start()
	t.Cleanup(backend.Close)
	server := site(t, Config{}, map[string]route{"": {Target: backend.URL}})
	get(t, server.URL+"/")
	select {
	case <-ended:
		t.Fatal("the connection is not kept")
	case <-time.After(10 * time.Millisecond):
	}
	transportFor(&Config{ResponseTimeout: 7})
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the connection is still open")
	}
}

func TestADamagedIdentityIsReadOrRefused(t *testing.T) {
	name := identity(t, "client", newAuthority(t, "servers"), newAuthority(t, "clients"))
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range text {
		changed := append([]byte{}, text...)
		changed[at] ^= 1 << (at % 8)
		for _, content := range [][]byte{changed, text[:at]} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := readIdentity(name)
			if (config == nil) == (err == nil) {
				t.Errorf("%d: %v %v", at, config, err)
			}
		}
	}
}
