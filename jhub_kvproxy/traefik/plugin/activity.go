package kvroute

import (
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"
)

// started is what times of use count from. Its clock is monotonic.
var started = time.Now()

// Requests for websockets that are to be noted have these schemes, followed by their own.
const notedScheme = "kvproxy-noted-"

type contextKey string

const usedKey contextKey = "kvproxy used"

// noteUse notes that a request uses e, which may be nil, and lets what flows on a websocket be noted.
func noteUse(pr *httputil.ProxyRequest, e *entry) {
	if e == nil {
		return
	}
	e.touch()
	if pr.Out.Header["Upgrade"] != nil && (pr.Out.URL.Scheme == "http" || pr.Out.URL.Scheme == "https") {
		pr.Out.URL.Scheme = notedScheme + pr.Out.URL.Scheme
		pr.Out = pr.Out.WithContext(context.WithValue(pr.Out.Context(), usedKey, e))
	}
}

func (e *entry) touch() {
	// Never 0, which is no use.
	atomic.StoreInt64(&e.lastUse, time.Since(started).Milliseconds()+1)
}

// agesOfUse returns the seconds since the last use of each route that was used.
func agesOfUse() map[string]float64 {
	ages := map[string]float64{}
	now := time.Since(started).Milliseconds() + 1
	entries.Range(func(key, value any) bool {
		if at := atomic.LoadInt64(&value.(*entry).lastUse); at > 0 {
			if at > now {
				at = now
			}
			ages[key.(string)] = float64(now-at) / 1000
		}
		return true
	})
	return ages
}

// notingTransport sends requests for websockets, and wraps the connections that come of them.
type notingTransport struct {
	transport *http.Transport
	scheme    string
}

// registerNoting is a function of its own because the interpreter's wrapper of an interface reads its object anew at each
// use, from the variables of the function that made it: in a loop both schemes would get the last object.
func registerNoting(transport *http.Transport, scheme string) {
	var noting http.RoundTripper = &notingTransport{transport: transport, scheme: scheme}
	transport.RegisterProtocol(notedScheme+scheme, noting)
}

func (t *notingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	u := *req.URL
	u.Scheme = t.scheme
	sent := req.WithContext(req.Context())
	sent.URL = &u
	response, err := t.transport.RoundTrip(sent)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		return response, err
	}
	connection, isConnection := response.Body.(io.ReadWriteCloser)
	used, isUsed := req.Context().Value(usedKey).(*entry)
	if isConnection && isUsed {
		var noted io.ReadWriteCloser = &traffic{connection: connection, used: used}
		response.Body = noted
	}
	return response, nil
}

// traffic is the connection to a server after an upgrade. What flows on it, in either direction, is use of a route.
type traffic struct {
	connection io.ReadWriteCloser
	used       *entry
}

func (t *traffic) Read(b []byte) (int, error) {
	n, err := t.connection.Read(b)
	t.used.touch()
	return n, err
}

func (t *traffic) Write(b []byte) (int, error) {
	t.used.touch()
	return t.connection.Write(b)
}

func (t *traffic) Close() error {
	return t.connection.Close()
}
