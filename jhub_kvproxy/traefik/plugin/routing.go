package kvroute

import (
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"
)

// Schemes of requests that no server gets. Their transport fails, and the error handler answers.
const (
	noRoute  = "kvproxy-no-route"
	badPath  = "kvproxy-bad-path"
	noTunnel = "kvproxy-no-tunnel"
)

const flushInterval = 100 * time.Millisecond

// newRouteProxy returns the way of users' requests to their servers. It is not interpreted but for what it calls, and
// none of that is under way while an answer is.
func newRouteProxy(config *Config) *httputil.ReverseProxy {
	transport := transportFor(config)
	pages := &errorPages{target: parseErrorTarget(config.ErrorTarget), tellsURL: config.TellsURL, transport: transport}
	return &httputil.ReverseProxy{
		Rewrite:       rewriteFor(config.Activity, config.Log),
		Transport:     transport,
		FlushInterval: flushInterval,
		BufferPool:    buffers,
		ErrorHandler:  pages.answer,
	}
}

// rewriteFor returns what sends each request to its server.
func rewriteFor(isNoted, isLogged bool) func(*httputil.ProxyRequest) {
	return func(pr *httputil.ProxyRequest) {
		out := pr.Out
		u := out.URL
		key := u.Path
		now := shape.Load().(*tableShape)
		if u.EscapedPath() != key {
			key = canonicalPath(u, now.depth)
		}
		key = now.cut.FindString(key)
		if now.hasHosts {
			key = withHost(out.Host, key)
		}
		value, ok := entries.Load(key)
		for !ok {
			slash := strings.LastIndexByte(key, '/')
			if slash < 0 {
				refuse(pr, noRoute, isLogged)
				return
			}
			key = key[:slash]
			value, ok = entries.Load(key)
		}
		e := value.(*entry)
		if out.Method == "CONNECT" {
			refuse(pr, noTunnel, isLogged)
			return
		}
		if e.isPlain {
			u.Scheme = e.scheme
			u.Host = e.host
		} else {
			e.direct(pr)
		}
		in := pr.In.Header
		out.Header["X-Forwarded-For"] = in["X-Forwarded-For"]
		pr.SetXForwarded()
		out.Header["X-Forwarded-Host"] = in["X-Forwarded-Host"]
		out.Header["X-Forwarded-Proto"] = in["X-Forwarded-Proto"]
		out.Header["Forwarded"] = in["Forwarded"]
		u.RawQuery = pr.In.URL.RawQuery
		atomic.AddInt64(e.counted, 1)
		if isNoted {
			e.noteUse()
		}
		if isLogged {
			e.tellLog(pr)
		}
		if _, ok := out.Header["Upgrade"]; ok {
			e.upgrade(pr, isNoted)
		}
	}
}

// refuse lets the error handler answer.
func refuse(pr *httputil.ProxyRequest, scheme string, isLogged bool) {
	pr.Out.URL.Scheme = scheme
	if isLogged {
		tellLogNothing(pr)
	}
}

// withHost returns the key of the longest route of host above path, or path if there is none.
func withHost(host, path string) string {
	host = canonicalHost(host)
	if _, ok := hosts.Load(host); !ok {
		return path
	}
	key := host + path
	_, ok := entries.Load(key)
	for !ok {
		slash := strings.LastIndexByte(key, '/')
		if slash < 0 {
			return path
		}
		key = key[:slash]
		_, ok = entries.Load(key)
	}
	return key
}
