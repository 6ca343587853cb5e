package kvroute

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// reset makes the package as it is after it was loaded.
func reset(t testing.TB) {
	t.Helper()
	writing.Lock()
	defer writing.Unlock()
	for _, all := range []*sync.Map{&entries, &hosts} {
		all.Range(func(key, _ any) bool { all.Delete(key); return true })
	}
	table = newTableState()
	shape.Store(&tableShape{cut: cutAfter(0), quick: emptyQuickTable})
	for _, counter := range []*int64{&hubRequests, &userRequests, &serviceRequests, &otherRequests} {
		atomic.StoreInt64(counter, 0)
	}
	transportsLock.Lock()
	defer transportsLock.Unlock()
	for _, kept := range transports {
		kept.transport.CloseIdleConnections()
	}
	transports = nil
}

// middleware is what Traefik makes of config.
func middleware(t testing.TB, config Config) http.Handler {
	t.Helper()
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "next") })
	handler, err := New(context.Background(), next, &config, "name")
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// serve is a server that answers with handler, as long as the test runs.
func serve(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// entryPoint sets the headers that Traefik's entry points set.
func entryPoint(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-Host", r.Host)
		r.Header.Set("X-Forwarded-Proto", "http")
		next.ServeHTTP(w, r)
	})
}

// site is a proxy, with the table of routes.
func site(t testing.TB, config Config, routes map[string]route) *httptest.Server {
	t.Helper()
	reset(t)
	config.Mode = "route"
	server := serve(t, entryPoint(middleware(t, config)))
	put(t, "1-w.1", routes)
	return server
}

// put makes routes the table.
func put(t testing.TB, revision string, routes map[string]route) {
	t.Helper()
	status, answer := push(t, http.MethodPut, object{"revision": revision, "form": "f", "put": routes})
	if status != http.StatusOK {
		t.Fatalf("PUT: %d %v", status, answer)
	}
}

type object = map[string]any

// push sends message, a text or what JSON is made of, to the middleware "table".
func push(t testing.TB, method string, message any) (int, object) {
	t.Helper()
	text, isText := message.(string)
	if !isText {
		body, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		text = string(body)
	}
	return call(t, method, "/kvproxy/table", strings.NewReader(text))
}

func call(t testing.TB, method, path string, body io.Reader) (int, object) {
	t.Helper()
	recorder := httptest.NewRecorder()
	middleware(t, Config{Mode: "table"}).ServeHTTP(recorder, httptest.NewRequest(method, path, body))
	answer := object{}
	if strings.HasPrefix(recorder.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%s %s: %v in %q", method, path, err, recorder.Body)
		}
	}
	return recorder.Code, answer
}

// seen is a request as a server got it.
type seen struct {
	Method, URI, Host string
	Header            http.Header
	Body              string
}

// mirror answers with what it has seen.
var mirror = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, r.Header, string(body)})
})

// named answers with its name.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", name, r.RequestURI)
	})
}

// get returns the status and the text of the answer to a request for url with headers, which are names and values.
func get(t testing.TB, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		} else {
			request.Header.Add(headers[i], headers[i+1])
		}
	}
	return do(t, request)
}

func do(t testing.TB, request *http.Request) (*http.Response, string) {
	t.Helper()
	// Each on a connection of its own, so that no server has open ones at the end.
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func whatWasSeen(t testing.TB, body string) seen {
	t.Helper()
	var what seen
	if err := json.Unmarshal([]byte(body), &what); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return what
}

// client is a connection on which a test writes what it likes.
type client struct {
	t testing.TB
	net.Conn
	reader *bufio.Reader
}

const patience = 20 * time.Second

func dial(t testing.TB, server *httptest.Server) *client {
	t.Helper()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(patience))
	return &client{t: t, Conn: connection, reader: bufio.NewReader(connection)}
}

// say writes lines; `|` stands for the end of a line.
func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "|", "\r\n")); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads the head of an answer to a request with this method, and its body if there is one.
func (c *client) hear(method string) (*http.Response, string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response, ""
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, string(body)
}

// raw is a server that is sent bytes, and answers with bytes: handle has one connection.
func raw(t testing.TB, handle func(connection net.Conn, reader *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_ = connection.SetDeadline(time.Now().Add(patience))
				handle(connection, bufio.NewReader(connection))
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// dead is the URL of a server that is not there.
func dead(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

func equal(t testing.TB, what string, got, wanted any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
}
