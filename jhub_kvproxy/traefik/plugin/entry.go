package kvroute

import (
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
)

// route is one route as the pusher writes it.
type route struct {
	// Target is the URL of the server.
	Target string `json:"t"`
	// Strip is how many segments of the path the server does not get.
	Strip int `json:"s"`
	// ChangeOrigin is whether the server gets its own host in the header Host.
	ChangeOrigin bool `json:"o"`
	// Bare is whether the path of the target is ignored.
	Bare bool `json:"b"`
	// Kind is what is counted: hub, user, service or other.
	Kind string `json:"k"`
}

// entry is one route as requests need it. It does not change but for lastUse.
type entry struct {
	scheme string
	host   string
	// isPlain is whether scheme and host are all that a request needs.
	isPlain bool
	key     string
	route   route
	// target is nil if it has no path to prepend.
	target *url.URL
	// counted is the number of requests to routes of this kind.
	counted *int64
	// lastUse is in milliseconds since start; 0 is never.
	lastUse int64
}

// Numbers of requests by the kind of their routes, since the plugin was loaded.
var hubRequests, userRequests, serviceRequests, otherRequests int64

func newEntry(key string, r route) (*entry, error) {
	if !isKey(key) {
		return nil, errors.New("no request can have this path or host")
	}
	target, err := url.Parse(r.Target)
	if err != nil {
		return nil, errors.New("its target is not a URL")
	}
	if target.Scheme != "http" && target.Scheme != "https" {
		return nil, errors.New("its target is not a URL with http or https")
	}
	if target.Hostname() == "" {
		return nil, errors.New("its target has no host")
	}
	if target.User != nil || target.RawQuery != "" || target.ForceQuery || target.Fragment != "" {
		return nil, errors.New("its target has more than a host and a path")
	}
	if _, path := splitKey(key); r.Strip < 0 || r.Strip > countSegments(path) {
		return nil, fmt.Errorf("%d segments cannot be stripped from its path", r.Strip)
	}
	e := &entry{scheme: target.Scheme, host: target.Host, key: key, route: r, counted: counterOf(r.Kind)}
	if target.Path != "" && target.Path != "/" && !r.Bare {
		e.target = target
	}
	e.isPlain = e.target == nil && r.Strip == 0 && !r.ChangeOrigin
	return e, nil
}

func counterOf(kind string) *int64 {
	switch kind {
	case "hub":
		return &hubRequests
	case "user":
		return &userRequests
	case "service":
		return &serviceRequests
	}
	return &otherRequests
}

func countRequests() map[string]int64 {
	return map[string]int64{
		"hub":     atomic.LoadInt64(&hubRequests),
		"user":    atomic.LoadInt64(&userRequests),
		"service": atomic.LoadInt64(&serviceRequests),
		"other":   atomic.LoadInt64(&otherRequests),
	}
}
