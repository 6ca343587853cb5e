package kvroute

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// The quick way is for requests that need no more than the scheme and host of their server, which are nearly all. It
// cuts the path of a request as it came, encoded, to so many segments as most routes have, and looks that up.
//
// It finds nothing, and the request goes the general way (see find), if a segment is encoded, if the route is a shorter
// or a longer one, if it is not plain, and as soon as one route in the table has a host.

// quickTable is what requests on the quick way need. `routes` changes, the other fields do not.
type quickTable struct {
	// cut finds the first `depth` segments of an encoded path; with a percent sign at its end, which no key has there,
	// if it came to one.
	cut    *regexp.Regexp
	routes *sync.Map
	depth  int
	// below is how many keys with more than `depth` segments begin with each of these paths. Writers use it only.
	below map[string]int
}

// emptyQuickTable finds nothing.
var emptyQuickTable = &quickTable{cut: regexp.MustCompile("^"), routes: &sync.Map{}, below: map[string]int{}}

func newQuickTable(depth int, entries map[string]*entry) *quickTable {
	q := &quickTable{
		cut:    regexp.MustCompile("^(?:/[^/?%]*){1," + strconv.Itoa(depth) + "}%?"),
		routes: &sync.Map{},
		depth:  depth,
		below:  map[string]int{},
	}
	for key, e := range entries {
		if e.depth > depth {
			q.below[firstSegments(key, depth)]++
		}
	}
	for key, e := range entries {
		// As in isQuick; a call costs as much as all of this.
		if e.isPlain && key != "" && (e.depth < depth || e.depth == depth && q.below[key] == 0) {
			q.routes.Store(key, e)
		}
	}
	return q
}

// change takes the difference that the key makes to the table: it is new, it is gone, or e has changed.
func (q *quickTable) change(key string, difference int, entries map[string]*entry) {
	if strings.Count(key, "/") > q.depth {
		key = firstSegments(key, q.depth)
		q.below[key] += difference
		if q.below[key] == 0 {
			delete(q.below, key)
		}
	}
	if e := entries[key]; e != nil && q.isQuick(key, e) {
		q.routes.Store(key, e)
	} else {
		q.routes.Delete(key)
	}
}

// isQuick is whether all requests that are cut to the key go to e. The key of the root is what else is cut to as well.
func (q *quickTable) isQuick(key string, e *entry) bool {
	return e.isPlain && key != "" && (e.depth < q.depth || e.depth == q.depth && q.below[key] == 0)
}

// chooseDepth returns the number of segments that most keys have. It stays at `now` until another has twice as many,
// because a change costs. 0 is that there is none.
func chooseDepth(now int, depths map[int]int) int {
	best, most := now, 2*depths[now]
	if now == 0 {
		most = 0
	}
	for depth, n := range depths {
		if depth > 0 && depth <= mostRepeats && n > most {
			best, most = depth, n
		}
	}
	return best
}
