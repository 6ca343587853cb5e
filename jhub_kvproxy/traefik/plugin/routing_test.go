package kvroute

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ways are the configurations with another function for Rewrite.
var ways = map[string]Config{
	"quick": {}, "noted": {Activity: true}, "logged": {Log: true}, "noted and logged": {Activity: true, Log: true},
}

func TestRequestsGoToTheLongestRoute(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			routes := map[string]route{}
			for key, host := range map[string]string{"": "hub", "/user/alice": "alice", "/user/alice/named": "named", "/user/bob": "bob", "/user/a%2Fb": "slash"} {
				routes[key] = route{Target: serve(t, named(host)).URL}
			}
			server := site(t, config, routes)
			for path, wanted := range map[string]string{
				"/":                    "hub",
				"/hub/home":            "hub",
				"/user":                "hub",
				"/user/":               "hub",
				"/user/alice":          "alice",
				"/user/alice/":         "alice",
				"/user/alice?x":        "alice",
				"/user/alice/lab/a/b":  "alice",
				"/user/alic%65/x":      "alice",
				"/user/alice/named":    "named",
				"/user/alice/named/x":  "named",
				"/user/alice/namedx":   "alice",
				"/user/alice//named":   "alice",
				"/user/alicex":         "hub",
				"/user/bob/x":          "bob",
				"/user//bob":           "hub",
				"/user%2Fbob/":         "hub",
				"/user/a%2fb/x":        "slash",
				"/user/a/b":            "hub",
				"/user/bob/..%2falice": "bob",
				"/user%252Fbob":        "hub",
			} {
				_, body := get(t, server.URL+path)
				equal(t, path, body, wanted+" "+path)
			}
		})
	}
}

func TestHostsComeFirst(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			routes := map[string]route{}
			for key, host := range map[string]string{"": "any", "/user/alice/deep": "deep", "h.example": "host", "h.example/user/alice": "alice", "i.example/x": "x"} {
				routes[key] = route{Target: serve(t, named(host)).URL}
			}
			server := site(t, config, routes)
			for _, c := range [][3]string{
				{"other", "/user/alice/deep/x", "deep"}, {"h.example", "/user/alice/deep/x", "alice"}, {"H.Example.:8000", "/user/alice", "alice"},
				{"h.example", "/", "host"}, {"i.example", "/x/y", "x"}, {"i.example", "/user/alice/deep", "deep"}, {"i.example", "/y", "any"},
				{"h.example.evil", "/", "any"}, {"xh.example", "/", "any"},
			} {
				_, body := get(t, server.URL+c[1], "Host", c[0])
				equal(t, c[0]+c[1], body, c[2]+" "+c[1])
			}
		})
	}
}

func TestWithoutARouteItIs404(t *testing.T) {
	server := site(t, Config{ErrorTarget: dead(t)}, map[string]route{"/user/alice": {Target: dead(t)}})
	for _, path := range []string{"/", "/user", "/user/alicex", "/favicon.ico"} {
		response, body := get(t, server.URL+path)
		equal(t, path, fmt.Sprint(response.StatusCode, body), "404404 page not found\n")
	}
}

func TestForwardedHeaders(t *testing.T) {
	backend := serve(t, mirror)
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			reset(t)
			config.Mode = "route"
			// As an entry point that trusts the proxy before it.
			server := serve(t, middleware(t, config))
			put(t, "1-w.1", map[string]route{"": {Target: backend.URL}, "/user/a": {Target: backend.URL}})
			for _, path := range []string{"/hub", "/user/a/x"} {
				_, body := get(t, server.URL+path, "X-Forwarded-For", "1.2.3.4", "X-Forwarded-For", "5.6.7.8", "X-Forwarded-Proto", "wss", "X-Forwarded-Host", "out.side",
					"Forwarded", "for=x", "X-Real-Ip", "1.1.1.1", "X-Forwarded-Port", "443", "Cookie", "a=b", "Authorization", "token x")
				equal(t, path, whatWasSeen(t, body).Header, http.Header{
					"X-Forwarded-For": {"1.2.3.4, 5.6.7.8, 127.0.0.1"}, "X-Forwarded-Proto": {"wss"}, "X-Forwarded-Host": {"out.side"}, "Forwarded": {"for=x"},
					"X-Real-Ip": {"1.1.1.1"}, "X-Forwarded-Port": {"443"}, "Cookie": {"a=b"}, "Authorization": {"token x"}, "User-Agent": {"Go-http-client/1.1"},
				})
				c := dial(t, server)
				c.say("GET " + path + " HTTP/1.0||")
				_, body = c.hear(http.MethodGet)
				equal(t, path, whatWasSeen(t, body).Header, http.Header{"X-Forwarded-For": {"127.0.0.1"}})
			}
		})
	}
}

func TestBodiesStreamsAndTrailersPass(t *testing.T) {
	more := make(chan bool)
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upload":
			n, err := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, n, err, r.ContentLength)
		case "/stream":
			_, _ = io.WriteString(w, "first\n")
			w.(http.Flusher).Flush()
			<-more
			_, _ = io.WriteString(w, "second\n")
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "4")
			w.Header().Set(http.TrailerPrefix+"X-Late", "5")
		case "/large":
			_, _ = w.Write(bytes.Repeat([]byte("x"), 3<<20))
		case "/abort":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	server := site(t, Config{}, map[string]route{"": {Target: backend.URL}})
	for _, length := range []int64{-1, 3 << 20} {
		request, _ := http.NewRequest(http.MethodPost, server.URL+"/upload", bytes.NewReader(make([]byte, 3<<20)))
		request.Body = io.NopCloser(request.Body)
		request.ContentLength = length
		_, body := do(t, request)
		equal(t, "upload", strings.ReplaceAll(body, " ", ""), fmt.Sprint("3145728<nil>", length))
	}
	_, body := get(t, server.URL+"/large")
	equal(t, "large", len(body), 3<<20)

	c := dial(t, server)
	c.say("GET /stream HTTP/1.1|Host: h||")
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 6)
	_, err = io.ReadFull(response.Body, first)
	equal(t, "what comes first", fmt.Sprint(string(first), err), "first\n<nil>")
	close(more)
	second, err := io.ReadAll(response.Body)
	equal(t, "what comes then", fmt.Sprint(string(second), err), "second\n<nil>")

	c = dial(t, server)
	c.say("GET /trailer HTTP/1.1|Host: h|TE: trailers||")
	hint, err := http.ReadResponse(c.reader, nil)
	equal(t, "hint", fmt.Sprint(hint.StatusCode, err), "103 <nil>")
	response, body = c.hear(http.MethodGet)
	equal(t, "trailers", fmt.Sprint(body, response.Trailer), "bodymap[X-Late:[5] X-Sum:[4]]")

	c = dial(t, server)
	c.say("GET /abort HTTP/1.1|Host: h||")
	response, err = http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if half, err := io.ReadAll(response.Body); err == nil || string(half) != "half" {
		t.Errorf("an answer that breaks off: %q %v", half, err)
	}
}

func TestRequestsAreCountedByKind(t *testing.T) {
	backend := serve(t, named("x"))
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			server := site(t, config, map[string]route{
				"": {Target: backend.URL, Kind: "hub"}, "/user/a": {Target: backend.URL, Kind: "user"}, "/user/b": {Target: dead(t), Kind: "user"},
				"/services/s": {Target: backend.URL, Kind: "service", Strip: 2}, "/x/y": {Target: backend.URL},
			})
			for _, path := range []string{"/", "/hub", "/user/a", "/user/a/x", "/user/a", "/user/b", "/services/s", "/x/y", "/x/y/z"} {
				get(t, server.URL+path)
			}
			_, answer := call(t, http.MethodGet, "/kvproxy/table", nil)
			equal(t, "requests", answer["requests"], "map[hub:2 other:2 service:1 user:4]")
		})
	}
}

func TestTheTableMovesWhileRequestsAreUnderWay(t *testing.T) {
	var served [2]int64
	backends := make([]*httptest.Server, 2)
	for i := range backends {
		backends[i] = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			atomic.AddInt64(&served[i], 1)
			time.Sleep(time.Millisecond)
			_, _ = io.WriteString(w, "ok")
		}))
	}
	server := site(t, Config{}, map[string]route{"": {Target: dead(t), Kind: "hub"}, "/user/a": {Target: backends[0].URL}})
	done := make(chan bool)
	go func() {
		defer close(done)
		for i := range 60 {
			put(t, fmt.Sprintf("1-w.%d", i+2), map[string]route{"": {Target: dead(t), Kind: "hub"}, "/user/a": {Target: backends[i%2].URL}, "/user/a/b": {Target: backends[i%2].URL}})
		}
	}()
	for {
		response, body := get(t, server.URL+"/user/a/x")
		if response.StatusCode != 200 || body != "ok" {
			t.Fatal(response.StatusCode, body)
		}
		select {
		case <-done:
			if served[0] == 0 || served[1] == 0 {
				t.Log("one server had no request", served)
			}
			return
		default:
		}
	}
}
