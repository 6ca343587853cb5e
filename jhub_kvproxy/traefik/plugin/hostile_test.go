package kvroute

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// counting is a server that counts its requests.
func counting(t *testing.T) (*int64, string) {
	var n int64
	return &n, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		atomic.AddInt64(&n, 1)
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "served "+r.Method+" "+r.RequestURI)
	})).URL
}

func TestConnectIsRefusedAndNoServerHearsOfIt(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			n, backend := counting(t)
			server := site(t, config, map[string]route{"": {Target: backend}, "/user/a": {Target: backend}})
			for _, request := range []string{
				"CONNECT 127.0.0.1:22 HTTP/1.1|Host: 127.0.0.1:22||",
				"CONNECT /user/a HTTP/1.1|Host: h||",
				"CONNECT /user/a/x?y HTTP/1.1|Host: h|Content-Length: 4||body",
				"CONNECT /hub HTTP/1.1|Host: h|Transfer-Encoding: chunked||0||",
				"CONNECT /user/a HTTP/1.1|Host: h|" + websocket + "|",
			} {
				c := dial(t, server)
				c.say(request)
				response, body := c.hear(http.MethodConnect)
				equal(t, request, fmt.Sprint(response.StatusCode, body), "501")
			}
			equal(t, "requests that the server got", atomic.LoadInt64(n), 0)
		})
	}
}

func TestConnectIsRefusedOverHTTP2(t *testing.T) {
	n, backend := counting(t)
	reset(t)
	server := httptest.NewUnstartedServer(middleware(t, Config{Mode: "route"}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	put(t, "1-w.1", map[string]route{"": {Target: backend}})
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	body, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodConnect, server.URL, body)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	equal(t, "answer", fmt.Sprint(response.Proto, response.StatusCode), "HTTP/2.0501")
	equal(t, "requests that the server got", atomic.LoadInt64(n), 0)
}

// Go's server looks at the host over HTTP/1.1 only.
func TestAHostThatIsNoneIsRefusedOverHTTP2(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			n, backend := counting(t)
			site(t, config, map[string]route{"": {Target: backend}, "/user/a": {Target: backend}, "/s": {Target: backend, Strip: 1}})
			config.Mode = "route"
			proxy := middleware(t, config)
			ask := func(path, host string) int {
				recorder := httptest.NewRecorder()
				request := httptest.NewRequest(http.MethodGet, path, nil)
				request.Host, request.Proto, request.ProtoMajor, request.ProtoMinor = host, "HTTP/2.0", 2, 0
				proxy.ServeHTTP(recorder, request)
				return recorder.Code
			}
			for _, path := range []string{"/user/a/x", "/hub", "/s/x", "/user/%61"} {
				for _, host := range []string{"a b", "x/user/b", "../x", "", "a@b", "h:a b", " h", "h\t", "h\r\nX: y", "h\x00", "\u00e9", "\xff", "a\\b", "a?b", "a#b"} {
					equal(t, fmt.Sprintf("%s for %q", path, host), ask(path, host), 400)
				}
				equal(t, "requests that the server got", atomic.LoadInt64(n), 0)
				hosts := []string{"h", "H.example:80", "[::1]:80", "[fe80::1%25lo]", "xn--zn7c", "a_b", "h.", "a!b"}
				for _, host := range hosts {
					equal(t, fmt.Sprintf("%s for %q", path, host), ask(path, host), 200)
				}
				equal(t, "requests that the server got", atomic.SwapInt64(n, 0), len(hosts))
			}
		})
	}
}

func TestTheHeaderConnectionCannotRemoveOrKeepOthers(t *testing.T) {
	backend := serve(t, mirror)
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			server := site(t, config, map[string]route{"": {Target: backend.URL}, "/user/a": {Target: backend.URL}, "/s": {Target: backend.URL, Strip: 1}})
			for _, path := range []string{"/hub", "/user/a/x", "/s/x"} {
				c := dial(t, server)
				c.say("GET " + path + " HTTP/1.1|Host: h|Connection: close, X-Forwarded-For, x-forwarded-host, X-Forwarded-Proto, X-Forwarded-Prefix, Forwarded, X-Mine, Upgrade|" +
					"X-Mine: 1|Forwarded: for=x|Keep-Alive: 5|Proxy-Connection: x|Proxy-Authorization: x|Te: gzip, trailers|Trailer: X-T|X-Kept: 1||")
				_, body := c.hear(http.MethodGet)
				header := whatWasSeen(t, body).Header
				if path == "/s/x" {
					equal(t, "prefix", header["X-Forwarded-Prefix"], "[/s]")
					header.Del("X-Forwarded-Prefix")
				}
				equal(t, path, header, http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"h"}, "X-Forwarded-Proto": {"http"}, "Forwarded": {"for=x"},
					"Te": {"trailers"}, "X-Kept": {"1"}})
			}
		})
	}
}

func TestARequestIsOneRequest(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			n, backend := counting(t)
			server := site(t, config, map[string]route{"": {Target: backend}, "/user/a": {Target: backend}})
			smuggled := "GET /smuggled HTTP/1.1|Host: h||"
			for _, c := range []struct {
				request string
				status  int
			}{
				{"POST /user/a HTTP/1.1|Host: h|Connection: close|Content-Length: 4|Content-Length: 5||abcd", 400},
				{"POST /user/a HTTP/1.1|Host: h|Connection: close|Content-Length: +4||abcd", 400},
				{"POST /user/a HTTP/1.1|Host: h|Connection: close|Content-Length: 4, 4||abcd", 400},
				{"POST /user/a HTTP/1.1|Host: h|Connection: close|Transfer-Encoding: chunked, identity||0||" + smuggled, 501},
				{"POST /user/a HTTP/1.1|Host: h|Connection: close|Transfer-Encoding: xchunked||0||" + smuggled, 501},
				{"POST /user/a HTTP/1.1|Host: h|Connection: close|Transfer-Encoding : chunked||0||" + smuggled, 400},
				{"GET /user/a HTTP/1.1|Host: h|Connection: close|X: y\r\n\x00: z||", 400},
				{"GET /user/a HTTP/1.1|Host: h|Host: i|Connection: close||", 400},
				{"GET /user/a b HTTP/1.1|Host: h|Connection: close||", 400},
				{"GET /user/a\x00 HTTP/1.1|Host: h|Connection: close||", 400},
				{"GET user/a HTTP/1.1|Host: h|Connection: close||", 400},
			} {
				before := atomic.LoadInt64(n)
				connection := dial(t, server)
				connection.say(c.request)
				response, body := connection.hear(http.MethodPost)
				equal(t, c.request, response.StatusCode, c.status)
				if rest, _ := io.ReadAll(connection.reader); len(rest) > 0 {
					t.Errorf("%q: after %q comes %q", c.request, body, rest)
				}
				equal(t, "requests that the server got", atomic.LoadInt64(n)-before, 0)
			}
			// A length and chunks: the chunks count, and what follows them is the next request of this client.
			connection := dial(t, server)
			connection.say("POST /user/a HTTP/1.1|Host: h|Content-Length: 3|Transfer-Encoding: chunked||8|SMUGGLED|0||GET /next HTTP/1.1|Host: h|Connection: close||")
			_, body := connection.hear(http.MethodPost)
			equal(t, "a length and chunks", body, "served POST /user/a")
			rest, _ := io.ReadAll(connection.reader)
			if !strings.HasSuffix(string(rest), "served GET /next") && len(rest) > 0 {
				t.Errorf("%q", rest)
			}
		})
	}
}

func TestABrokenBodyDoesNotHarmTheNextRequest(t *testing.T) {
	n, backend := counting(t)
	server := site(t, Config{ErrorTarget: dead(t)}, map[string]route{"": {Target: backend}, "/user/a": {Target: backend}})
	for range 5 {
		c := dial(t, server)
		c.say("POST /user/a HTTP/1.1|Host: h|Transfer-Encoding: chunked||4|abcd|zz|GET /smuggled HTTP/1.1|Host: h||")
		response, body := c.hear(http.MethodPost)
		equal(t, "a wrong chunk", fmt.Sprint(response.StatusCode, body), "400Bad Request\n")
		c = dial(t, server)
		c.say("POST /user/a HTTP/1.1|Host: h|Content-Length: 1000||abcd")
		_ = c.Close()
		_, body = get(t, server.URL+"/user/a/x")
		equal(t, "the next", body, "served GET /user/a/x")
	}
	if atomic.LoadInt64(n) > 15 {
		t.Error("the server got more requests than there were")
	}
}

func TestWhatServersSayIsBounded(t *testing.T) {
	answers := map[string]string{
		"endless interim answers": strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-A: "+strings.Repeat("x", 50000)+"\r\n\r\n", 250),
		"a large head":            "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("x", 50000)+"\r\n", 250) + "\r\n",
	}
	for name, text := range answers {
		backend := raw(t, func(connection net.Conn, reader *bufio.Reader) {
			readHead(reader)
			_, _ = io.WriteString(connection, text)
		})
		server := site(t, Config{ErrorTarget: dead(t)}, map[string]route{"": {Target: backend}})
		c := dial(t, server)
		c.say("GET / HTTP/1.1|Host: h|Connection: close||")
		for {
			response, body := c.hear(http.MethodGet)
			if response.StatusCode == http.StatusEarlyHints {
				continue
			}
			assertPlain(t, name, response, body)
			break
		}
	}
	backend := raw(t, func(connection net.Conn, reader *bufio.Reader) {
		readHead(reader)
		_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n4\r\nbody\r\n0\r\nX-A: "+strings.Repeat("x", 5<<20)+"\r\n\r\n")
	})
	server := site(t, Config{}, map[string]route{"": {Target: backend}})
	c := dial(t, server)
	c.say("GET / HTTP/1.1|Host: h|Connection: close||")
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("large trailers: %q %v", body, len(response.Trailer.Get("X-A")))
	}
}

func TestAServersSecondAnswerReachesNobodyElse(t *testing.T) {
	backend := raw(t, func(connection net.Conn, reader *bufio.Reader) {
		for len(readHead(reader)) > 0 {
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmineHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}
	})
	good := serve(t, named("good"))
	server := site(t, Config{}, map[string]route{"": {Target: good.URL}, "/user/evil": {Target: backend}})
	for range 20 {
		get(t, server.URL+"/user/evil")
		_, body := get(t, server.URL+"/x")
		equal(t, "another server's answer", body, "good /x")
	}
}

func TestOddRequestTargets(t *testing.T) {
	_, backend := counting(t)
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			server := site(t, config, map[string]route{"": {Target: backend}, "/user/a": {Target: backend}})
			for request, wanted := range map[string]string{
				"GET http://other/user/a/x HTTP/1.1|Host: h|":                      "200served GET /user/a/x",
				"GET http://other HTTP/1.1|Host: h|":                               "200served GET /",
				"GET kvproxy-no-route://other/user/a HTTP/1.1|Host: h|":            "200served GET /user/a",
				"GET kvproxy-noted-http://other/x HTTP/1.1|Host: h|":               "200served GET /x",
				"GET http:user/a HTTP/1.1|Host: h|":                                "404404 page not found\n",
				"GET * HTTP/1.1|Host: h|":                                          "404404 page not found\n",
				"GET //other/user/a HTTP/1.1|Host: h|":                             "200served GET //other/user/a",
				"GET /user/a/../b HTTP/1.1|Host: h|":                               "200served GET /user/a/../b",
				"GET /user/a%2e HTTP/1.1|Host: h|":                                 "200served GET /user/a%2e",
				"GET /user/a" + strings.Repeat("/", 100000) + " HTTP/1.1|Host: h|": "200served GET /user/a" + strings.Repeat("/", 100000),
			} {
				c := dial(t, server)
				c.say(request + "Connection: close||")
				response, body := c.hear(http.MethodGet)
				if got := fmt.Sprint(response.StatusCode, body); got != wanted {
					t.Errorf("%.60s: got %.60s, wanted %.60s", request, got, wanted)
				}
			}
		})
	}
}
