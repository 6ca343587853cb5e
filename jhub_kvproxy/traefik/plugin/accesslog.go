package kvroute

import "net/http/httputil"

// Traefik's access log can show headers of requests, and reads these from the request that came in, after it was
// answered. No server sees what is set there then.
const (
	routeHeader  = "X-Kvproxy-Route"
	targetHeader = "X-Kvproxy-Target"
)

// tellLog tells the access log of the route and target of a request; e is nil if it has none. What the client has sent by
// these names goes nowhere.
func tellLog(pr *httputil.ProxyRequest, e *entry) {
	delete(pr.Out.Header, routeHeader)
	delete(pr.Out.Header, targetHeader)
	if e == nil {
		delete(pr.In.Header, routeHeader)
		delete(pr.In.Header, targetHeader)
		return
	}
	key := e.key
	if e.depth == 0 {
		key += "/"
	}
	pr.In.Header[routeHeader] = []string{key}
	pr.In.Header[targetHeader] = []string{e.scheme + "://" + e.host}
}
