package kvroute

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// The table outlives the middlewares: Traefik makes these anew when its configuration changes.
var (
	// entries has the *entry of each key.
	entries sync.Map
	// hosts has the hosts that keys begin with.
	hosts sync.Map
	// shape is a *tableShape.
	shape atomic.Value

	// writing is held by who changes the table, and protects what follows.
	writing sync.Mutex
	served  = tableState{
		entries:  map[string]*entry{},
		hosts:    map[string]int{},
		depths:   map[int]int{},
		hubHosts: map[string]int{},
	}
)

// tableState is what the writers know of the table.
type tableState struct {
	revision string
	form     string
	entries  map[string]*entry
	// How many entries there are of each host, of each number of segments, and of each host of a hub.
	hosts    map[string]int
	depths   map[int]int
	hubHosts map[string]int
}

// tableShape is what a request needs to know of the table as a whole.
type tableShape struct {
	// depth is the number of segments of the longest path.
	depth int
	// cut finds the first `depth` segments of a path.
	cut *regexp.Regexp
	// hasHosts is whether some keys begin with a host.
	hasHosts bool
}

// Go's regular expressions repeat at most as often.
const deepestCut = 1000

func newShape(depth int, hasHosts bool) *tableShape {
	pattern := `(?s)^.*`
	if depth <= deepestCut {
		pattern = `^(?:/[^/]*){0,` + strconv.Itoa(depth) + `}`
	}
	return &tableShape{depth: depth, cut: regexp.MustCompile(pattern), hasHosts: hasHosts}
}

func init() {
	shape.Store(newShape(0, false))
}

var (
	errNewer = errors.New("the table served is newer")
	errOther = errors.New("the table served is another")
)

func hasTable() bool {
	writing.Lock()
	defer writing.Unlock()
	return served.revision != ""
}

// isHub is whether host, as it is in a target, is that of a hub.
func isHub(host string) bool {
	writing.Lock()
	defer writing.Unlock()
	return served.hubHosts[host] > 0
}

// replaceTable serves a snapshot. It returns errNewer, and changes nothing, if what is served is newer.
func replaceTable(m *message) error {
	writing.Lock()
	defer writing.Unlock()
	if compareRevisions(m.revision, served.revision) < 0 {
		return errNewer
	}
	for key := range served.entries {
		if m.put[key] == nil {
			m.remove = append(m.remove, key)
		}
	}
	change(m)
	return nil
}

// changeTable serves what has changed. It returns an error, and changes nothing, if it is not a change of what is
// served.
func changeTable(m *message) error {
	writing.Lock()
	defer writing.Unlock()
	if served.revision == "" || m.from != served.revision || m.form != served.form {
		return errOther
	}
	if compareRevisions(m.revision, served.revision) < 0 {
		return errNewer
	}
	change(m)
	return nil
}

// change is called with the lock held, and cannot fail.
func change(m *message) {
	put := map[string]*entry{}
	for key, e := range m.put {
		// An entry that stays as it is keeps the time of its last use.
		if old := served.entries[key]; old == nil || old.route != e.route {
			put[key] = e
		}
	}
	removed := make([]*entry, 0, len(m.remove))
	for _, key := range m.remove {
		if old := served.entries[key]; old != nil && m.put[key] == nil {
			removed = append(removed, old)
			delete(served.entries, key)
		}
	}
	for key, e := range put {
		if old := served.entries[key]; old != nil {
			count(old, -1)
		}
		count(e, 1)
		served.entries[key] = e
	}
	for _, e := range removed {
		count(e, -1)
	}
	// Requests find longer keys before these are in the table, and as long as they may be.
	reshape(deepest(shapeNow().depth), true)
	for key, e := range put {
		entries.Store(key, e)
	}
	for _, e := range removed {
		entries.Delete(e.key)
	}
	reshape(deepest(0), false)
	served.revision, served.form = m.revision, m.form
}

func count(e *entry, by int) {
	host, path := splitKey(e.key)
	served.depths[countSegments(path)] += by
	if served.depths[countSegments(path)] == 0 {
		delete(served.depths, countSegments(path))
	}
	if host != "" {
		served.hosts[host] += by
		if served.hosts[host] == 0 {
			delete(served.hosts, host)
			hosts.Delete(host)
		} else {
			hosts.Store(host, true)
		}
	}
	if e.route.Kind == "hub" {
		served.hubHosts[e.host] += by
		if served.hubHosts[e.host] == 0 {
			delete(served.hubHosts, e.host)
		}
	}
}

func countSegments(path string) int {
	return strings.Count(path, "/")
}

// deepest returns the number of segments of the longest path, or least, if that is more.
func deepest(least int) int {
	for depth := range served.depths {
		if depth > least {
			least = depth
		}
	}
	return least
}

func reshape(depth int, isGrowing bool) {
	now := shapeNow()
	hasHosts := len(served.hosts) > 0 || isGrowing && now.hasHosts
	if now.depth != depth || now.hasHosts != hasHosts {
		shape.Store(newShape(depth, hasHosts))
	}
}

func shapeNow() *tableShape {
	return shape.Load().(*tableShape)
}
