package kvroute

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"testing"
)

// usesSince returns the keys that were used since the last call.
func usesSince() map[string]bool {
	used := map[string]bool{}
	entries.Range(func(key, value any) bool {
		if atomic.SwapInt64(&value.(*entry).lastUse, 0) > 0 {
			used[key.(string)] = true
		}
		return true
	})
	return used
}

func TestUseOfRoutesIsNoted(t *testing.T) {
	backend := serve(t, named("x"))
	routes := map[string]route{"": {Target: backend.URL}, "/user/a": {Target: backend.URL}, "/user/b": {Target: dead(t)}, "h/user/a": {Target: backend.URL}, "/never": {Target: backend.URL}}
	server := site(t, Config{Activity: true}, routes)
	for _, path := range []string{"/x", "/user/a/x", "/user/b"} {
		get(t, server.URL+path)
	}
	get(t, server.URL+"/user/a", "Host", "H:80")
	equal(t, "used", usesSince(), map[string]bool{"": true, "/user/a": true, "h/user/a": true})
	server = site(t, Config{}, routes)
	get(t, server.URL+"/user/a/x")
	equal(t, "used, without activity", usesSince(), map[string]bool{})
}

func TestWhatFlowsOnAWebsocketIsUseOfItsRoute(t *testing.T) {
	backend := socketServer(t)
	for _, key := range []string{"/user/a", "h.example/user/a"} {
		server := site(t, Config{Activity: true}, map[string]route{"": {Target: dead(t)}, key: {Target: backend}})
		c := dial(t, server)
		c.say("GET /user/a/ws HTTP/1.1|Host: H.example:80|" + websocket + "|")
		c.hear(http.MethodGet)
		usesSince()
		echo := func() {
			t.Helper()
			c.say("x")
			if _, err := c.reader.ReadByte(); err != nil {
				t.Fatal(err)
			}
		}
		echo()
		equal(t, "used", usesSince(), map[string]bool{key: true})
		// It is use of the route that it began on, also when another is in its place.
		value, _ := entries.Load(key)
		put(t, "1-w.2", map[string]route{"": {Target: dead(t)}, key: {Target: backend + "/other"}, "/user/a/ws": {Target: backend}})
		echo()
		equal(t, "used, after a change", usesSince(), map[string]bool{})
		equal(t, "used, before it", atomic.LoadInt64(&value.(*entry).lastUse) > 0, true)
	}
}

func TestServersSeeNoTraceOfNoting(t *testing.T) {
	server := site(t, Config{Activity: true}, map[string]route{"": {Target: socketServer(t)}})
	c := dial(t, server)
	c.say("GET /ws HTTP/1.1|Host: h|" + websocket + "|")
	response, _ := c.hear(http.MethodGet)
	equal(t, "seen", response.Header.Get("X-Seen"), "GET /ws HTTP/1.1|Connection: Upgrade|Host: h|Sec-WebSocket-Extensions: x|Sec-WebSocket-Key: abc|Sec-WebSocket-Protocol: v1|"+
		"Sec-WebSocket-Version: 13|Upgrade: websocket|X-Forwarded-For: 127.0.0.1|X-Forwarded-Host: h|X-Forwarded-Proto: http")
}

func TestTheAccessLogIsToldOfRouteAndTarget(t *testing.T) {
	backend := serve(t, mirror)
	reset(t)
	logged := make(chan string, 1)
	proxy := middleware(t, Config{Mode: "route", Log: true})
	// Traefik writes its log from the headers of the request when that was answered.
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		logged <- fmt.Sprint(r.Header["X-Kvproxy-Route"], r.Header["X-Kvproxy-Target"])
	}))
	gone := dead(t)
	put(t, "1-w.1", map[string]route{"/user/a": {Target: backend.URL + "/x"}, "h": {Target: gone}, "h/s": {Target: backend.URL, Strip: 1}})
	for _, c := range [][3]string{
		{"other", "/user/a/b", "[/user/a] [" + backend.URL + "]"},
		{"H:80", "/user/a/b", "[h/] [" + gone + "]"},
		{"h", "/s/x", "[h/s] [" + backend.URL + "]"},
		{"h", "/s//x", "[h/s] [" + backend.URL + "]"},
		{"other", "/b", "[] []"},
	} {
		_, body := get(t, server.URL+c[1], "Host", c[0], "X-Kvproxy-Route", "evil", "X-Kvproxy-Target", "evil", "x-kvproxy-target", "evil2")
		equal(t, c[0]+c[1], <-logged, c[2])
		if len(body) > 0 && body[0] == '{' {
			header := whatWasSeen(t, body).Header
			equal(t, "what the server sees of it", fmt.Sprint(header["X-Kvproxy-Route"], header["X-Kvproxy-Target"]), "[] []")
		}
	}
}

func TestBuffersAreUsedAgainAndNotShared(t *testing.T) {
	var pool httputil.BufferPool = buffers
	a, b := pool.Get(), pool.Get()
	equal(t, "sizes", fmt.Sprint(len(a), len(b)), "32768 32768")
	a[0], b[0] = 'a', 'b'
	equal(t, "they are two", string([]byte{a[0], b[0]}), "ab")
	pool.Put(a)
	pool.Put(b)
}
