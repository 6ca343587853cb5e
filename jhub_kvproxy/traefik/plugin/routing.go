package kvroute

import (
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"
)

// Schemes of requests that no server gets. Their transport fails, and the error handler answers.
const (
	noRoute    = "kvproxy-no-route"
	badRequest = "kvproxy-bad-request"
	noTunnel   = "kvproxy-no-tunnel"
)

const flushInterval = 100 * time.Millisecond

// newRouteProxy returns the way of users' requests to their servers. It is native, and calls what is interpreted only
// before a request goes out, so that nothing interpreted waits for an answer.
//
// It has a Director, unless uses are noted or the access log is told: then it has a Rewrite, which knows the request as it
// came. A Rewrite is preferred elsewhere, because the header Connection of a client may remove what a Director sets. But
// Traefik's entry point has dealt with Connection by then, and a Rewrite has to put back what Traefik has set in headers,
// which takes as long as to find the route.
func newRouteProxy(config *Config) *httputil.ReverseProxy {
	chooseLimits(config)
	transport := transportFor(config)
	pages := &errorPages{target: parseErrorTarget(config.ErrorTarget), tellsURL: config.TellsURL, transport: transport, away: newAwayPage(config.AwayPage)}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: flushInterval,
		BufferPool:    buffers,
		ErrorHandler:  pages.answer,
	}
	if config.Activity {
		proxy.ModifyResponse = noteAnswer
	}
	switch {
	case config.Activity && config.Log:
		proxy.Rewrite = rewriteNoteAndLog
	case config.Activity:
		proxy.Rewrite = rewriteAndNote
	case config.Log:
		proxy.Rewrite = rewriteAndLog
	default:
		proxy.Director = direct
	}
	return proxy
}

// direct sends a request to its server. On the quick way it does the same as lookUp and send do.
func direct(out *http.Request) {
	header := out.Header
	quick := shape.Load().(*tableShape).quick
	value, ok := quick.routes.Load(quick.cut.FindString(out.RequestURI))
	if !ok || header["Connection"] != nil || header["Http2-Settings"] != nil || out.Trailer != nil ||
		out.Method == "CONNECT" || atomic.LoadInt32(&limitsAreSet) == 0 ||
		out.ProtoMajor > 1 && !validHost.MatchString(out.Host) {
		directGenerally(out)
		return
	}
	e := value.(*entry)
	u := out.URL
	u.Scheme = e.scheme
	u.Host = e.host
	atomic.AddInt64(e.counted, 1)
}

func directGenerally(out *http.Request) {
	if atomic.LoadInt32(&limitsAreSet) == 0 {
		setLimits(out)
	}
	cleanConnection(out.Header)
	send(&httputil.ProxyRequest{In: out, Out: out}, lookUp(out))
}

// rewriteAndNote sends a request to its server, and lets the use of the route be noted.
func rewriteAndNote(pr *httputil.ProxyRequest) {
	if atomic.LoadInt32(&limitsAreSet) == 0 {
		setLimits(pr.In)
	}
	e := lookUpQuickly(pr.Out)
	send(pr, e)
	keepForwarded(pr)
	noteUse(pr, e)
}

// rewriteAndLog sends a request to its server, and tells the access log.
func rewriteAndLog(pr *httputil.ProxyRequest) {
	if atomic.LoadInt32(&limitsAreSet) == 0 {
		setLimits(pr.In)
	}
	e := lookUpQuickly(pr.Out)
	send(pr, e)
	keepForwarded(pr)
	tellLog(pr, e)
}

// rewriteNoteAndLog does all of it.
func rewriteNoteAndLog(pr *httputil.ProxyRequest) {
	if atomic.LoadInt32(&limitsAreSet) == 0 {
		setLimits(pr.In)
	}
	e := lookUpQuickly(pr.Out)
	send(pr, e)
	keepForwarded(pr)
	noteUse(pr, e)
	tellLog(pr, e)
}

// lookUpQuickly is lookUp on the quick way, if that leads to a route.
func lookUpQuickly(out *http.Request) *entry {
	quick := shape.Load().(*tableShape).quick
	if value, ok := quick.routes.Load(quick.cut.FindString(out.RequestURI)); ok {
		return value.(*entry)
	}
	return lookUp(out)
}

// lookUp returns the entry of the longest key that a request is at or below, or nil if there is none. Keys with a host
// come before those without one.
func lookUp(out *http.Request) *entry {
	now := shape.Load().(*tableShape)
	key := now.cut.FindString(out.URL.EscapedPath())
	if strings.IndexByte(key, '%') >= 0 {
		key = canonicalPath(key)
	}
	if now.hasHosts {
		if e := lookUpHost(out.Host, key); e != nil {
			return e
		}
	}
	value, ok := entries.Load(key)
	for !ok {
		slash := strings.LastIndexByte(key, '/')
		if slash < 0 {
			return nil
		}
		key = key[:slash]
		value, ok = entries.Load(key)
	}
	return value.(*entry)
}

func lookUpHost(host, path string) *entry {
	host = canonicalHost(host)
	if _, ok := hosts.Load(host); !ok {
		return nil
	}
	key := host + path
	value, ok := entries.Load(key)
	for !ok {
		slash := strings.LastIndexByte(key, '/')
		if slash < 0 {
			return nil
		}
		key = key[:slash]
		value, ok = entries.Load(key)
	}
	return value.(*entry)
}

// send sends a request to the server of e, or refuses it.
func send(pr *httputil.ProxyRequest, e *entry) {
	out := pr.Out
	u := out.URL
	switch {
	case out.ProtoMajor > 1 && !validHost.MatchString(out.Host):
		u.Scheme = badRequest
		return
	case e == nil || u.Path == "*" || u.Opaque != "":
		u.Scheme = noRoute
		return
	case out.Method == "CONNECT":
		u.Scheme = noTunnel
		return
	}
	to := out.Header
	delete(to, "Http2-Settings")
	// Servers may take for headers what comes behind the body (CVE-2026-88004).
	out.Trailer = nil
	atomic.AddInt64(e.counted, 1)
	if e.isPlain {
		u.Scheme = e.scheme
		u.Host = e.host
	} else {
		sendChanged(pr, e)
	}
	if to["Upgrade"] != nil {
		sendUpgrade(pr)
	}
}

// keepForwarded puts back what a ReverseProxy with a Rewrite takes away: what it cannot read in the query, but the server
// may, and headers that Traefik has set. SetXForwarded appends the client's address to the first, and sets two others.
func keepForwarded(pr *httputil.ProxyRequest) {
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	to, from := pr.Out.Header, pr.In.Header
	to["X-Forwarded-For"] = from["X-Forwarded-For"]
	pr.SetXForwarded()
	to["X-Forwarded-Host"] = from["X-Forwarded-Host"]
	to["X-Forwarded-Proto"] = from["X-Forwarded-Proto"]
	to["Forwarded"] = from["Forwarded"]
}

// cleanConnection removes the headers that a client names in the header Connection, as ReverseProxy would do after the
// Director, but not those that Traefik or the plugin set. Traefik's entry point has done so already.
func cleanConnection(header http.Header) {
	lines := header["Connection"]
	delete(header, "Connection")
	for _, line := range lines {
		for _, token := range strings.Split(line, ",") {
			name := http.CanonicalHeaderKey(strings.TrimSpace(token))
			switch {
			case name == "Upgrade":
				header["Connection"] = []string{"Upgrade"}
			case name == "X-Forwarded-Prefix":
				// The plugin sets its own later.
				delete(header, name)
			case name == "Te" || name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-"):
			default:
				delete(header, name)
			}
		}
	}
}
