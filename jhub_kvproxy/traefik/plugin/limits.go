package kvroute

import (
	"log"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// requestLimits are the limits for the head of a request, and for all of it. 0 means no limit of its own.
//
// Traefik has one option for both, readTimeout, which either cuts off uploads or lets silent clients stay. So
// jhub-kvproxy sets it to the limit for the head, and the first request lets the rest of those that follow take longer.
// On connections that send nothing, or not all of a TLS handshake's beginning, readTimeout alone goes on to hold.
type requestLimits struct {
	head, whole time.Duration
}

var (
	// limitsAreSet is 0 from when limits are chosen until the first request. Each request looks at it.
	limitsAreSet int32 = 1
	limitsLock   sync.Mutex
	limits       requestLimits
	// serverIsChanged is whether the server's own limits are not those of Traefik's configuration any more.
	serverIsChanged bool
	sayOnce         sync.Once
)

// chooseLimits has the next request set the limits of config.
func chooseLimits(config *Config) {
	limitsLock.Lock()
	defer limitsLock.Unlock()
	limits = requestLimits{head: milliseconds(config.HeaderTimeout), whole: milliseconds(config.Timeout)}
	if limits.head > 0 || limits.whole > 0 || serverIsChanged {
		atomic.StoreInt32(&limitsAreSet, 0)
	}
}

// setLimits gives the limits that were chosen to the server that r came to, if no request has done so.
func setLimits(r *http.Request) {
	limitsLock.Lock()
	defer limitsLock.Unlock()
	if atomic.LoadInt32(&limitsAreSet) == 0 && limits.set(r) {
		atomic.StoreInt32(&limitsAreSet, 1)
		serverIsChanged = true
	}
}

// set gives the limits to the server that r came to, for all requests that begin from now on.
//
// The server reads its limits without a lock while it runs. That is a data race of a kind whose outcome Go defines
// (https://go.dev/ref/mem#restrictions): a limit is one machine word, so a request has the old one or the new one.
//
// It returns false if that is a server of another kind, such as one for HTTP/3: then a later request sets them.
func (l requestLimits) set(r *http.Request) bool {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		sayOnce.Do(func() {
			log.Print("kvroute: a request came to a server of another kind than net/http's. Until one comes to that, " +
				"requests with their bodies have as long as KVProxy.header_timeout says.")
		})
		return false
	}
	server.ReadHeaderTimeout = l.head
	server.ReadTimeout = l.whole
	return true
}
