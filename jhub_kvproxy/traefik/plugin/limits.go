package kvroute

import (
	"fmt"
	"net/http"
	"os"
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
	areSet      int32
}

func newRequestLimits(config *Config) *requestLimits {
	return &requestLimits{head: milliseconds(config.HeaderTimeout), whole: milliseconds(config.Timeout)}
}

// set gives the limits to the server that r came to, for all requests that begin from now on.
//
// The server reads its limits without a lock while it runs. That is a data race of a kind whose outcome Go defines
// (https://go.dev/ref/mem#restrictions): a limit is one machine word, so a request has the old one or the new one.
func (l *requestLimits) set(r *http.Request) {
	if !atomic.CompareAndSwapInt32(&l.areSet, 0, 1) {
		return
	}
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		// Traefik's log would not show it at the level that is usual.
		fmt.Fprintln(os.Stderr, "kvroute: Traefik does not say which server a request came to. "+
			"Requests with their bodies have as long as KVProxy.header_timeout says.")
		return
	}
	server.ReadHeaderTimeout = l.head
	server.ReadTimeout = l.whole
}
