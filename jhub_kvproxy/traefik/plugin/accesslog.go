package kvroute

import "net/http/httputil"

// Traefik's access log can show headers of requests, and reads these from the request that came in, after it was
// answered. No server sees what is set there then.
const (
	routeHeader  = "X-Kvproxy-Route"
	targetHeader = "X-Kvproxy-Target"
)

func (e *entry) tellLog(pr *httputil.ProxyRequest) {
	key := e.key
	if _, path := splitKey(key); path == "" {
		key += "/"
	}
	pr.In.Header[routeHeader] = []string{key}
	pr.In.Header[targetHeader] = []string{e.scheme + "://" + e.host}
	delete(pr.Out.Header, routeHeader)
	delete(pr.Out.Header, targetHeader)
}

func tellLogNothing(pr *httputil.ProxyRequest) {
	delete(pr.In.Header, routeHeader)
	delete(pr.In.Header, targetHeader)
}
