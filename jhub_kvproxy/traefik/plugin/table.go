package kvroute

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The table outlives the middlewares: Traefik makes these anew when its configuration changes. Requests read it without
// a lock. Writers hold one, and change it so that a request finds the old route or the new one at any time.
var (
	// entries has the *entry of each key.
	entries sync.Map
	// hosts has the hosts that keys begin with.
	hosts sync.Map
	// shape has the *tableShape.
	shape atomic.Value

	writing sync.Mutex
	// table is protected by writing.
	table = newTableState()
)

// tableShape is what a request needs to know of the table as a whole. It does not change; the table gets another.
type tableShape struct {
	// depth is the most segments that a key has.
	depth int
	// cut finds the first `depth` segments of an encoded path.
	cut      *regexp.Regexp
	hasHosts bool
	quick    *quickTable
}

// tableState is what writers know of the table.
type tableState struct {
	revision string
	form     string
	entries  map[string]*entry
	// How many keys there are of each host and each number of segments, and how many hubs at each host.
	hosts  map[string]int
	depths map[int]int
	hubs   map[string]int
	// changed is when a message was taken last.
	changed time.Time
}

var (
	errNewer = errors.New("the table that is served is newer")
	errOther = errors.New("the table that is served is not the one that this would change")
)

func init() {
	shape.Store(&tableShape{cut: cutAfter(0), quick: emptyQuickTable})
}

func newTableState() *tableState {
	return &tableState{
		entries: map[string]*entry{},
		hosts:   map[string]int{},
		depths:  map[int]int{},
		hubs:    map[string]int{},
	}
}

// hasTable is whether there is a table, though maybe an empty one.
func hasTable() bool {
	writing.Lock()
	defer writing.Unlock()
	return table.revision != ""
}

// isHub is whether host, with its port, is the target of a route of the kind "hub".
func isHub(host string) bool {
	writing.Lock()
	defer writing.Unlock()
	return table.hubs[host] > 0
}

// replaceTable makes m the table. It returns errNewer, and changes nothing, if the table is newer than m.
func replaceTable(m *message) error {
	writing.Lock()
	defer writing.Unlock()
	if compareRevisions(m.revision, table.revision) < 0 {
		return errNewer
	}
	for key := range table.entries {
		if m.put[key] == nil {
			m.remove = append(m.remove, key)
		}
	}
	table.change(m, true)
	return nil
}

// changeTable makes the changes of m. It returns errOther or errNewer, and changes nothing, if m is not a change of what
// is served.
func changeTable(m *message) error {
	writing.Lock()
	defer writing.Unlock()
	if table.revision == "" || m.from != table.revision || m.form != table.form {
		return errOther
	}
	if compareRevisions(m.revision, table.revision) < 0 {
		return errNewer
	}
	table.change(m, false)
	return nil
}

// change makes the changes of a message that was checked. It cannot fail.
func (t *tableState) change(m *message, isSnapshot bool) {
	changed := map[string]int{}
	for key, e := range m.put {
		old := t.entries[key]
		if old != nil && old.route == e.route {
			// The old one stays, with the time of its last use.
			continue
		}
		changed[key] = 0
		if old == nil {
			changed[key] = 1
		} else {
			t.countHub(old, -1)
		}
		t.countHub(e, 1)
		t.entries[key] = e
		entries.Store(key, e)
	}
	for _, key := range m.remove {
		if old := t.entries[key]; old != nil && m.put[key] == nil {
			changed[key] = -1
			t.countHub(old, -1)
			delete(t.entries, key)
			entries.Delete(key)
		}
	}
	for key, difference := range changed {
		if difference != 0 {
			t.countKey(key, difference)
		}
	}
	t.reshape(changed, isSnapshot)
	t.revision, t.form = m.revision, m.form
	// As a part of the assignment above, the interpreter loses it.
	t.changed = time.Now()
}

func (t *tableState) countHub(e *entry, difference int) {
	if e.route.Kind != "hub" {
		return
	}
	t.hubs[e.host] += difference
	if t.hubs[e.host] == 0 {
		delete(t.hubs, e.host)
	}
}

func (t *tableState) countKey(key string, difference int) {
	host, _ := splitKey(key)
	depth := strings.Count(key, "/")
	t.depths[depth] += difference
	if t.depths[depth] == 0 {
		delete(t.depths, depth)
	}
	if host == "" {
		return
	}
	t.hosts[host] += difference
	if t.hosts[host] == 0 {
		delete(t.hosts, host)
		hosts.Delete(host)
	} else {
		hosts.Store(host, true)
	}
}

// reshape lets requests know of the table's new shape, and of the changed keys. After a snapshot all of it is made anew.
func (t *tableState) reshape(changed map[string]int, isSnapshot bool) {
	now := shape.Load().(*tableShape)
	next := &tableShape{hasHosts: len(t.hosts) > 0, quick: now.quick}
	for depth := range t.depths {
		if depth > next.depth {
			next.depth = depth
		}
	}
	next.cut = now.cut
	if next.depth != now.depth {
		next.cut = cutAfter(next.depth)
	}
	depth := chooseDepth(now.quick.depth, t.depths)
	switch {
	case next.hasHosts || depth == 0:
		next.quick = emptyQuickTable
	case isSnapshot || depth != now.quick.depth:
		next.quick = newQuickTable(depth, t.entries)
	default:
		for key, difference := range changed {
			now.quick.change(key, difference, t.entries)
		}
	}
	if next.depth != now.depth || next.hasHosts != now.hasHosts || next.quick != now.quick {
		shape.Store(next)
	}
}

// mostRepeats is how often Go's regular expressions repeat at most.
const mostRepeats = 1000

// cutAfter returns what finds the first `depth` segments of an encoded path, or all of them if these are very many.
func cutAfter(depth int) *regexp.Regexp {
	if depth > mostRepeats {
		return regexp.MustCompile("(?s)^/.*")
	}
	return regexp.MustCompile("^(?:/[^/]*){0," + strconv.Itoa(depth) + "}")
}
