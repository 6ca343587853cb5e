package kvroute

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const plainPage = "Service Unavailable"

func assertPlain(t *testing.T, what string, response *http.Response, body string) {
	t.Helper()
	header := response.Header
	equal(t, what, fmt.Sprint(response.StatusCode, " ", body, header["Content-Type"], header["Cache-Control"], header["Retry-After"], header["Set-Cookie"]),
		"503 "+plainPage+"[text/plain; charset=utf-8] [no-store] [10] []")
}

// broken are servers whose failure is the proxy's own.
func broken(t *testing.T) map[string]string {
	answers := map[string]string{
		"no HTTP":              "SSH-2.0-OpenSSH\r\n",
		"nothing":              "",
		"half a head":          "HTTP/1.1 200 OK\r\nContent-",
		"a wrong length":       "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
		"two lengths":          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
		"an unknown encoding":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
		"a head that is large": "HTTP/1.1 200 OK\r\nX-Large: " + strings.Repeat("x", 11<<20) + "\r\n\r\nx",
		"a folded head line":   "HTTP/1.1 200 OK\r\nA\x00: b\r\n\r\nx",
	}
	urls := map[string]string{"dead": dead(t)}
	for name, answer := range answers {
		urls[name] = raw(t, func(connection net.Conn, reader *bufio.Reader) {
			readHead(reader)
			_, _ = io.WriteString(connection, answer)
		})
	}
	urls["https without TLS"] = strings.Replace(serve(t, named("x")).URL, "http:", "https:", 1)
	urls["https with an unknown authority"] = serveTLS(t, named("x"), nil).URL
	return urls
}

func TestTheProxysOwnFailuresGetThePage(t *testing.T) {
	var asked atomic.Value
	pages := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked.Store(seen{r.Method, r.RequestURI, r.Host, r.Header, string(body)})
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "x")
		w.Header().Set("Set-Cookie", "_xsrf=nobody")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "7")
		w.Header().Set("Keep-Alive", "7")
		w.WriteHeader(404)
		_, _ = io.WriteString(w, "<h1>page</h1>")
	}))
	for name, url := range broken(t) {
		server := site(t, Config{ErrorTarget: pages.URL + "/hub/error/", TellsURL: true}, map[string]route{"": {Target: pages.URL, Kind: "hub"}, "/user/a": {Target: url}})
		request, _ := http.NewRequest(http.MethodPost, server.URL+"/user/a/x%20y?token=a&b=c", strings.NewReader("secret"))
		for _, header := range []string{"Cookie", "Authorization", "X-Mine", "Referer", "X-Xsrftoken"} {
			request.Header.Set(header, "secret")
		}
		request.Header.Set("Accept", "text/html")
		request.Host = "hub.example"
		response, body := do(t, request)
		equal(t, name, fmt.Sprint(response.StatusCode, " ", body, " ", response.Header["Content-Type"], response.Header["Content-Security-Policy"],
			response.Header["Set-Cookie"], response.Header["Keep-Alive"], response.Header["X-Hop"]), "503 <h1>page</h1> [text/html] [x] [] [] []")
		equal(t, name, asked.Load(), seen{"GET", "/hub/error/503?url=http%3A%2F%2Fhub.example%2Fuser%2Fa%2Fx%2520y%3Ftoken%3Da%26b%3Dc", strings.TrimPrefix(pages.URL, "http://"),
			http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"no-cors"}}, ""})
	}
	server := site(t, Config{ErrorTarget: pages.URL}, map[string]route{"": {Target: dead(t)}})
	request, _ := http.NewRequest(http.MethodHead, server.URL+"/x?token=secret", nil)
	response, body := do(t, request)
	equal(t, "HEAD", fmt.Sprint(response.StatusCode, body), "503")
	equal(t, "HEAD", asked.Load(), seen{"GET", "/503", strings.TrimPrefix(pages.URL, "http://"), http.Header{"Sec-Fetch-Mode": {"no-cors"}}, ""})
}

func TestWithoutThePageThereIsAPlainOne(t *testing.T) {
	asked := 0
	page := func(status, size int) string {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.Repeat("x", size))
		})).URL
	}
	gone := dead(t)
	for name, target := range map[string]string{
		"dead": gone, "500": page(500, 5), "503": page(503, 5), "too large": page(200, largestPage+1), "cut off": raw(t, func(connection net.Conn, reader *bufio.Reader) {
			readHead(reader)
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
		}),
	} {
		server := site(t, Config{ErrorTarget: target}, map[string]route{"": {Target: dead(t)}})
		response, body := get(t, server.URL+"/x")
		assertPlain(t, name, response, body)
	}
	equal(t, "pages that were asked for", asked, 3)
	server := site(t, Config{ErrorTarget: page(200, largestPage)}, map[string]route{"": {Target: dead(t)}})
	response, body := get(t, server.URL+"/x")
	equal(t, "the largest page", fmt.Sprint(response.StatusCode, len(body)), fmt.Sprint(503, " ", largestPage))
}

func TestNobodyAsksTheHubWhetherItIsThere(t *testing.T) {
	asked := 0
	pages := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	hangsUp := raw(t, func(net.Conn, *bufio.Reader) {})
	server := site(t, Config{ErrorTarget: pages.URL}, map[string]route{
		"": {Target: dead(t), Kind: "hub"}, "h.example": {Target: hangsUp, Kind: "hub"}, "/user/a": {Target: hangsUp}, "/user/b": {Target: dead(t), Kind: "user"},
	})
	for path, host := range map[string]string{"/": "x", "/hub/login": "x", "/x": "h.example"} {
		response, body := get(t, server.URL+path, "Host", host)
		assertPlain(t, host+path, response, body)
	}
	response, body := get(t, server.URL+"/user/a")
	assertPlain(t, "a user's route to a hub", response, body)
	c := dial(t, server)
	c.say("GET /user/b HTTP/1.1|Host: h|" + websocket + "Connection: close||")
	response, body = c.hear(http.MethodGet)
	assertPlain(t, "a websocket", response, body)
	equal(t, "pages that were asked for", asked, 0)
	get(t, server.URL+"/user/b")
	equal(t, "pages that were asked for", asked, 1)
	// The one that failed is the error target itself, though nobody called it a hub.
	server = site(t, Config{ErrorTarget: hangsUp + "/hub/error"}, map[string]route{"": {Target: hangsUp}})
	response, body = get(t, server.URL+"/")
	assertPlain(t, "the error target", response, body)
}

func TestWithoutAnErrorTargetItIsAGatewaysError(t *testing.T) {
	silent := make(chan bool)
	slow := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	defer close(silent)
	server := site(t, Config{ResponseTimeout: 50}, map[string]route{"": {Target: dead(t)}, "/slow/x": {Target: slow.URL}})
	response, body := get(t, server.URL+"/x")
	equal(t, "dead", fmt.Sprint(response.StatusCode, body), "502Bad Gateway")
	response, body = get(t, server.URL+"/slow/x")
	equal(t, "slow", fmt.Sprint(response.StatusCode, body), "504Gateway Timeout")
	server = site(t, Config{ResponseTimeout: 50, ErrorTarget: dead(t)}, map[string]route{"": {Target: slow.URL}})
	response, body = get(t, server.URL+"/x")
	assertPlain(t, "slow, with an error target", response, body)
}

func TestAnApplicationsErrorIsItsOwn(t *testing.T) {
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/user/a/%d", &status)
		http.Error(w, "its own", status)
	}))
	server := site(t, Config{ErrorTarget: dead(t)}, map[string]route{"/user/a": {Target: backend.URL}})
	for _, status := range []int{400, 404, 500, 502, 503, 504} {
		response, body := get(t, fmt.Sprintf("%s/user/a/%d", server.URL, status))
		equal(t, "answer", fmt.Sprint(response.StatusCode, body), fmt.Sprintf("%dits own\n", status))
	}
}

func TestAClientThatWentAwayGetsNoPage(t *testing.T) {
	asked := make(chan bool, 1)
	arrived, left := make(chan bool, 1), make(chan bool)
	pages := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- true }))
	backend := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-r.Context().Done()
		close(left)
	}))
	reset(t)
	status := make(chan int, 1)
	proxy := middleware(t, Config{Mode: "route", ErrorTarget: pages.URL})
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusRecorder{ResponseWriter: w}
		proxy.ServeHTTP(recorder, r)
		status <- recorder.status
	}))
	put(t, "1-w.1", map[string]route{"": {Target: backend.URL}})
	c := dial(t, server)
	c.say("GET / HTTP/1.1|Host: h||")
	<-arrived
	_ = c.Close()
	equal(t, "status", <-status, 499)
	<-left
	select {
	case <-asked:
		t.Error("the page was asked for")
	default:
	}
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func TestThePageMayNotTakeForEver(t *testing.T) {
	defer func(longest time.Duration) { pageTimeout = longest }(pageTimeout)
	pageTimeout = 50 * time.Millisecond
	end := make(chan bool)
	defer close(end)
	for _, head := range []int{0, 1} {
		pages := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if head == 1 {
				_, _ = io.WriteString(w, "half")
				w.(http.Flusher).Flush()
			}
			<-end
		}))
		server := site(t, Config{ErrorTarget: pages.URL}, map[string]route{"": {Target: dead(t)}})
		response, body := get(t, server.URL+"/x")
		assertPlain(t, "a page that takes for ever", response, body)
	}
}

func TestATooSlowBodyIsTheClientsFault(t *testing.T) {
	backend := serve(t, mirror)
	reset(t)
	server := httptest.NewUnstartedServer(middleware(t, Config{Mode: "route", ErrorTarget: dead(t)}))
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	put(t, "1-w.1", map[string]route{"": {Target: backend.URL}})
	for _, body := range []string{"Content-Length: 1000||half", "Transfer-Encoding: chunked||4|half|"} {
		c := dial(t, server)
		c.say("POST / HTTP/1.1|Host: h|" + body)
		response, text := c.hear(http.MethodPost)
		// Which one depends on who hears of it first.
		if got := fmt.Sprint(response.StatusCode, text); got != "408Request Timeout\n" && got != "499Client Closed Request" {
			t.Errorf("%s: got %s", body, got)
		}
	}
}
