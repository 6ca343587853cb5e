package kvroute

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// largestMessage is in bytes. A snapshot of 10,000 routes has 0.6 MB, and a table of short routes
// takes 45 times as much memory as its message.
var largestMessage int64 = 64 << 20

// tableHandler takes the table from the pusher, and tells what is table.
type tableHandler struct{}

func (h *tableHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/kvproxy/table":
		h.serveTable(w, r)
	case "/kvproxy/activity":
		h.serveActivity(w, r)
	case "/kvproxy/routes":
		h.serveRoutes(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (h *tableHandler) serveTable(w http.ResponseWriter, r *http.Request) {
	apply := replaceTable
	switch r.Method {
	case http.MethodGet:
		answer(w, http.StatusOK, describeTable(nil))
		return
	case http.MethodPut:
	case http.MethodPatch:
		apply = changeTable
	default:
		refuseMethod(w, "GET, PUT, PATCH")
		return
	}
	if r.ContentLength > largestMessage {
		answer(w, http.StatusRequestEntityTooLarge, map[string]string{"error": "the message is too large"})
		return
	}
	m, err := readMessage(http.MaxBytesReader(w, r.Body, largestMessage))
	if err != nil {
		status := http.StatusBadRequest
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		// It may quote what is wrong, which may be long.
		refusal := map[string]string{"error": fmt.Sprintf("%.300s", err)}
		if m != nil && m.isRouteBad {
			// The pusher can do without this route.
			refusal["key"] = m.badKey
		}
		answer(w, status, refusal)
		return
	}
	if r.Method == http.MethodPut && m.put == nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "a table without \"put\" is none"})
		return
	}
	if err := apply(m); err != nil {
		answer(w, http.StatusConflict, describeTable(err))
		return
	}
	answer(w, http.StatusOK, describeTable(nil))
}

func (h *tableHandler) serveActivity(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuseMethod(w, "GET")
		return
	}
	answer(w, http.StatusOK, map[string]map[string]float64{"ages": agesOfUse()})
}

// serveRoutes answers with all routes or, if a path is asked about, with the one that a request for it gets.
func (h *tableHandler) serveRoutes(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuseMethod(w, "GET")
		return
	}
	query := r.URL.Query()
	path := query.Get("path")
	if path == "" {
		answer(w, http.StatusOK, describeRoutes(allRoutes))
		return
	}
	u, err := url.Parse("http://host" + path)
	if err != nil || !strings.HasPrefix(path, "/") {
		answer(w, http.StatusBadRequest, map[string]string{"error": "this is no path"})
		return
	}
	asked := &http.Request{URL: u, Host: query.Get("host")}
	answer(w, http.StatusOK, describeRoutes(func() map[string]route { return routeFor(asked) }))
}

// allRoutes is called with writing locked.
func allRoutes() map[string]route {
	routes := map[string]route{}
	for key, e := range table.entries {
		routes[key] = e.route
	}
	return routes
}

// routeFor returns the route that a request gets, if there is one.
func routeFor(asked *http.Request) map[string]route {
	routes := map[string]route{}
	if e := lookUp(asked); e != nil {
		routes[e.key] = e.route
	}
	return routes
}

// describeRoutes returns what is served as an object for JSON, with these routes of the same revision.
func describeRoutes(routes func() map[string]route) map[string]any {
	writing.Lock()
	defer writing.Unlock()
	described := describeLocked()
	described["routes"] = routes()
	return described
}

// describeTable returns what is served as an object for JSON, with why it was not changed, if err is not nil.
func describeTable(err error) map[string]any {
	writing.Lock()
	defer writing.Unlock()
	described := describeLocked()
	if err != nil {
		described["error"] = err.Error()
	}
	return described
}

// describeLocked is called with writing locked.
func describeLocked() map[string]any {
	described := map[string]any{
		"revision": table.revision,
		"form":     table.form,
		"routes":   len(table.entries),
		"requests": countRequests(),
	}
	if table.revision != "" {
		// Seconds for which this has been served.
		described["age"] = time.Since(table.changed).Seconds()
	}
	return described
}

func refuseMethod(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	answer(w, http.StatusMethodNotAllowed, map[string]string{"error": "the methods are " + allowed})
}

func answer(w http.ResponseWriter, status int, object any) {
	body, err := json.Marshal(object)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error": "the answer is no JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
