package kvroute

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
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
	// counted is the number of requests to routes of this kind.
	counted *int64
	// isPlain is whether the server of a request needs nothing else of it changed.
	isPlain bool
	// target is the URL whose path is put before that of requests; nil: there is none.
	target *url.URL
	key    string
	// depth is the number of segments of the key.
	depth int
	route route
	// lastUse is in milliseconds since `started`; 0: never.
	lastUse int64
}

// Numbers of requests by the kind of their routes, since the plugin was loaded.
var hubRequests, userRequests, serviceRequests, otherRequests int64

var counters = map[string]*int64{"hub": &hubRequests, "user": &userRequests, "service": &serviceRequests}

// plainTarget matches the targets that most routes have, in parts.
var plainTarget = regexp.MustCompile(`^(https?)://([a-z0-9.-]+:[0-9]{1,5})/?$`)

// newEntry returns an error that tells what is wrong with the route.
func newEntry(key string, r route) (*entry, error) {
	if strings.HasSuffix(key, "/") || !validKey.MatchString(key) {
		return nil, errors.New("no request has this host and path")
	}
	e := &entry{key: key, depth: strings.Count(key, "/"), route: r, counted: counters[r.Kind]}
	if e.counted == nil {
		e.counted = &otherRequests
	}
	if r.Strip < 0 || r.Strip > e.depth {
		return nil, fmt.Errorf("its path does not have %d segments to strip", r.Strip)
	}
	if parts := plainTarget.FindStringSubmatch(r.Target); parts != nil {
		e.scheme, e.host = parts[1], parts[2]
	} else if err := e.setTarget(); err != nil {
		return nil, err
	}
	e.isPlain = e.target == nil && r.Strip == 0 && !r.ChangeOrigin
	return e, nil
}

func (e *entry) setTarget() error {
	target, err := url.Parse(e.route.Target)
	if err != nil {
		return errors.New("its target is not a URL")
	}
	if target.Scheme != "http" && target.Scheme != "https" || target.Hostname() == "" {
		return errors.New("its target is not a URL with http or https and a host")
	}
	if target.User != nil || target.RawQuery != "" || target.ForceQuery || target.Fragment != "" {
		return errors.New("its target has more than a host and a path")
	}
	e.scheme, e.host = target.Scheme, target.Host
	if target.Path != "" && target.Path != "/" && !e.route.Bare {
		e.target = target
	}
	return nil
}

func countRequests() map[string]int64 {
	return map[string]int64{
		"hub":     atomic.LoadInt64(&hubRequests),
		"user":    atomic.LoadInt64(&userRequests),
		"service": atomic.LoadInt64(&serviceRequests),
		"other":   atomic.LoadInt64(&otherRequests),
	}
}
