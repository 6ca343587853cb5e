//go:build !race

// The limits of a server that runs are changed here, which the race detector would report (see requestLimits.set).

package kvroute

import (
	"bufio"
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

const short = 200 * time.Millisecond

// startLimited starts a server with one limit for all of a request, as Traefik's are, whose first request has made two
// of it.
func startLimited(t *testing.T, head, whole time.Duration) string {
	t.Helper()
	limits := requestLimits{head: head, whole: whole}
	var once sync.Once
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { limits.set(r) })
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusGatewayTimeout)
		}
		fmt.Fprintf(w, "%d bytes", len(body))
	}))
	server.Config.ReadTimeout = short
	server.Start()
	t.Cleanup(server.Close)
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return server.Listener.Addr().String()
}

// sendParts sends the parts, each a while longer after the one before than the short limit, and returns what comes back
// until the server closes the connection.
func sendParts(t *testing.T, address string, parts ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, part := range parts {
		if i > 0 {
			time.Sleep(2 * short)
		}
		// The server may have closed the connection: what it said is what counts.
		_, _ = io.WriteString(conn, part)
	}
	said, _ := io.ReadAll(bufio.NewReader(conn))
	return string(said)
}

const upload = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\n"

func TestABodyMayTakeLongerThanTheHead(t *testing.T) {
	address := startLimited(t, short, 0)
	if said := sendParts(t, address, upload+"abc", "def"); !strings.Contains(said, "6 bytes") {
		t.Errorf("a slow upload got %q", said)
	}
}

func TestAHeadThatDoesNotEndIsCutOff(t *testing.T) {
	address := startLimited(t, short, time.Hour)
	for _, head := range []string{"GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"} {
		if said := sendParts(t, address, head); strings.Contains(said, "bytes") {
			t.Errorf("%q got %q", head, said)
		}
	}
}

func TestABodyThatDoesNotEndIsCutOff(t *testing.T) {
	address := startLimited(t, 0, short)
	if said := sendParts(t, address, upload+"abc"); !strings.Contains(said, "504") {
		t.Errorf("half an upload got %q", said)
	}
}

func TestTheFirstRequestThatIsRoutedSetsTheLimits(t *testing.T) {
	t.Cleanup(func() {
		limitsLock.Lock()
		defer limitsLock.Unlock()
		serverIsChanged = false
		atomic.StoreInt32(&limitsAreSet, 1)
	})
	proxy := newRouteProxy(&Config{HeaderTimeout: 1000, Timeout: 60000})
	server := httptest.NewServer(proxy)
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if head, whole := server.Config.ReadHeaderTimeout, server.Config.ReadTimeout; head != time.Second || whole != time.Minute {
		t.Errorf("the limits are %s and %s", head, whole)
	}
}

func TestARequestWithoutAServerChangesNothing(t *testing.T) {
	limits := &requestLimits{head: short, whole: short}
	limits.set(httptest.NewRequest("GET", "/", nil))
	limits.set(httptest.NewRequest("GET", "/", nil))
}
