package kvroute

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func to(host string) route { return route{Target: "http://" + host} }

func describe(answer object) string {
	return fmt.Sprintf("%v %v %v", answer["revision"], answer["form"], answer["routes"])
}

func TestBeforeThereIsATable(t *testing.T) {
	reset(t)
	status, answer := call(t, http.MethodGet, "/kvproxy/table", nil)
	equal(t, "GET", fmt.Sprint(status, answer), `200 map[form: requests:map[hub:0 other:0 service:0 user:0] revision: routes:0]`)
	status, answer = push(t, http.MethodPatch, object{"from": "", "form": "", "revision": "1-w.1", "put": map[string]route{"/a": to("a")}})
	equal(t, "PATCH", fmt.Sprint(status, " ", describe(answer)), "409   0")
	equal(t, "a look-up", lookUpPath("/a"), (*entry)(nil))
}

func TestHealthIsThatThereIsATable(t *testing.T) {
	reset(t)
	health := func() string {
		recorder := httptest.NewRecorder()
		middleware(t, Config{Mode: "health"}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/_chp_healthz", nil))
		return fmt.Sprint(recorder.Code, " ", recorder.Body)
	}
	equal(t, "before", health(), "503 There is no routing table yet.\n")
	put(t, "1-w.1", map[string]route{})
	equal(t, "after", health(), "200 next")
}

func TestChangesAreMadeInTurn(t *testing.T) {
	reset(t)
	put(t, "1-w.1", map[string]route{"": to("hub"), "/user/a": to("a"), "/user/b": to("b")})
	status, answer := push(t, http.MethodPatch, object{"from": "1-w.1", "revision": "1-w.2", "form": "f",
		"put": map[string]route{"/user/a": to("a2"), "/user/c": to("c")}, "delete": []string{"/user/b", "/user/none", "/user/c"}})
	equal(t, "PATCH", fmt.Sprint(status, " ", describe(answer)), "200 1-w.2 f 3")
	for path, host := range map[string]string{"/user/a/x": "a2", "/user/b/x": "hub", "/user/c": "c"} {
		equal(t, path, lookUpPath(path).host, host)
	}
	for _, message := range []object{
		{"from": "1-w.1", "revision": "1-w.3", "form": "f"},
		{"from": "1-w.2", "revision": "1-w.3", "form": "g"},
		{"from": "1-w.2", "revision": "1-w.3"},
		{"revision": "1-w.3", "form": "f"},
		{"from": "1-w.2", "revision": "1-w.1", "form": "f"},
		{"from": "1-w.2", "revision": "1-v.9", "form": "f"},
	} {
		message["delete"] = []string{""}
		status, answer = push(t, http.MethodPatch, message)
		equal(t, fmt.Sprint("PATCH ", message), fmt.Sprint(status, " ", describe(answer), answer["error"] != nil), "409 1-w.2 f 3true")
	}
	status, answer = push(t, http.MethodPatch, object{"from": "1-w.2", "revision": "1-w.2", "form": "f", "delete": []string{"/user/c"}})
	equal(t, "the same revision again", fmt.Sprint(status, " ", describe(answer)), "200 1-w.2 f 2")
}

func TestASnapshotIsAllThereIs(t *testing.T) {
	reset(t)
	put(t, "1-w.1", map[string]route{"": to("hub"), "/user/a": to("a"), "h.example/x/y/z": to("z")})
	put(t, "1-w.2", map[string]route{"/user/b": to("b")})
	equal(t, "a", lookUpPath("/user/a"), (*entry)(nil))
	equal(t, "b", lookUpPath("/user/b").host, "b")
	status, answer := push(t, http.MethodPut, object{"revision": "1-w.1", "form": "f", "put": map[string]route{"/user/c": to("c")}})
	equal(t, "an older one of the same writer", fmt.Sprint(status, " ", describe(answer)), "409 1-w.2 f 1")
	status, _ = push(t, http.MethodPut, object{"revision": "0-z.9", "form": "f", "put": object{}})
	equal(t, "one of an older writer", status, 409)
	status, _ = push(t, http.MethodPut, object{"revision": "no revision", "form": "f", "put": object{}})
	equal(t, "one that is no revision", status, 409)
	status, _ = push(t, http.MethodPut, object{"revision": "2-a.1", "form": "g"})
	equal(t, "one that lacks its routes", status, 400)
	status, answer = push(t, http.MethodPut, object{"revision": "2-a.1", "form": "g", "put": object{}})
	equal(t, "an empty one of a newer writer", fmt.Sprint(status, " ", describe(answer)), "200 2-a.1 g 0")
	equal(t, "b", lookUpPath("/user/b"), (*entry)(nil))
}

func TestDeepKeysAndHostsCostNothingWhenTheyAreGone(t *testing.T) {
	reset(t)
	deep := "/" + strings.Repeat("d/", 3000) + "e"
	put(t, "1-w.1", map[string]route{"": to("hub"), "/user/a": to("a"), deep: to("deep"), "h.example/x": to("x")})
	now := shape.Load().(*tableShape)
	equal(t, "shape", fmt.Sprint(now.depth, now.hasHosts, now.quick.depth), "3001 true 0")
	equal(t, "deep", lookUpPath(deep+"/f").host, "deep")
	equal(t, "less deep", lookUpPath(deep[:len(deep)-2]).host, "hub")
	push(t, http.MethodPatch, object{"from": "1-w.1", "revision": "1-w.2", "form": "f", "delete": []string{deep}})
	equal(t, "depth", shape.Load().(*tableShape).depth, 2)
	put(t, "1-w.3", map[string]route{"": to("hub"), "/user/a": to("a"), "/user/b": to("b"), "/user/c": to("c")})
	now = shape.Load().(*tableShape)
	equal(t, "shape", fmt.Sprint(now.depth, now.hasHosts, now.quick.depth), "2 false 2")
	put(t, "1-w.4", map[string]route{})
	equal(t, "nothing is left", fmt.Sprint(len(table.entries), len(table.hosts), len(table.depths), len(table.hubs)), "0 0 0 0")
	entries.Range(func(key, _ any) bool { t.Error(key, "is left"); return true })
	hosts.Range(func(key, _ any) bool { t.Error(key, "is left"); return true })
	quick := shape.Load().(*tableShape).quick
	quick.routes.Range(func(key, _ any) bool { t.Error(key, "is left on the quick way"); return true })
	equal(t, "below", len(quick.below), 0)
}

func TestARouteThatIsPutAgainKeepsItsUse(t *testing.T) {
	reset(t)
	table := map[string]route{"/a": to("a"), "/b": to("b")}
	put(t, "1-w.1", table)
	lookUpPath("/a").touch()
	lookUpPath("/b").touch()
	table["/b"] = to("b2")
	put(t, "1-w.2", table)
	ages := agesOfUse()
	equal(t, "routes with a use", fmt.Sprint(len(ages), ages["/a"] >= 0), "1 true")
}

func TestAgesAreSecondsOfAMonotonicClock(t *testing.T) {
	reset(t)
	put(t, "1-w.1", map[string]route{"/a": to("a"), "/b": to("b"), "h.example/a": to("a")})
	lookUpPath("/a").touch()
	started = started.Add(-90 * time.Second)
	defer func() { started = started.Add(90 * time.Second) }()
	status, answer := call(t, http.MethodGet, "/kvproxy/activity", nil)
	ages := answer["ages"].(object)
	age, _ := ages["/a"].(float64)
	if status != 200 || len(ages) != 1 || age < 90 || age > 100 {
		t.Error(status, answer)
	}
}

func TestAllRoutesAreToldOrTheOneOfAPath(t *testing.T) {
	reset(t)
	put(t, "1-w.1", map[string]route{"": to("hub"), "/user/a": {Target: "http://a/p", Kind: "user", Strip: 1, ChangeOrigin: true, Bare: true}, "h.example/user": to("h")})
	told := func(query string) string {
		status, answer := call(t, http.MethodGet, "/kvproxy/routes"+query, nil)
		return fmt.Sprint(status, " ", answer["revision"], " ", answer["routes"])
	}
	a, hub, h := "/user/a:map[b:true k:user o:true s:1 t:http://a/p]", ":map[b:false k: o:false s:0 t:http://hub]", "h.example/user:map[b:false k: o:false s:0 t:http://h]"
	equal(t, "all", told(""), "200 1-w.1 map["+hub+" "+a+" "+h+"]")
	equal(t, "a path", told("?path=/user/%2561/x"), "200 1-w.1 map["+a+"]")
	equal(t, "another", told("?path=/user/ab"), "200 1-w.1 map["+hub+"]")
	equal(t, "a host", told("?path=/user/a&host=H.example:8000"), "200 1-w.1 map["+h+"]")
	equal(t, "no path", told("?path=x")[:3], "400")
	put(t, "1-w.2", map[string]route{})
	equal(t, "none", told("?path=/"), "200 1-w.2 map[]")
}

func TestNoChangeIsMadeBetweenARevisionAndItsRoutes(t *testing.T) {
	reset(t)
	described := describeRoutes(func() map[string]route {
		if writing.TryLock() {
			writing.Unlock()
			t.Error("a change could be made")
		}
		return map[string]route{"": to("hub")}
	})
	equal(t, "routes", fmt.Sprint(described["routes"]), fmt.Sprint(map[string]route{"": to("hub")}))
}

func TestTheAgeIsThatOfWhatIsServed(t *testing.T) {
	reset(t)
	put(t, "1-w.1", map[string]route{"": to("hub")})
	table.changed = table.changed.Add(-90 * time.Second)
	age := func() float64 {
		_, answer := call(t, http.MethodGet, "/kvproxy/table", nil)
		seconds, _ := answer["age"].(float64)
		return seconds
	}
	equal(t, "an old table", age() >= 90, true)
	put(t, "1-w.2", map[string]route{"": to("hub")})
	equal(t, "a new one", age() < 90, true)
}

func TestTheTableAnswersOnItsPathsAndMethodsOnly(t *testing.T) {
	reset(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/kvproxy/table", 200}, {"POST", "/kvproxy/table", 405}, {"DELETE", "/kvproxy/table", 405},
		{"HEAD", "/kvproxy/table", 405}, {"GET", "/kvproxy/activity", 200}, {"PUT", "/kvproxy/activity", 405},
		{"GET", "/kvproxy/routes", 200}, {"PUT", "/kvproxy/routes", 405},
		{"GET", "/kvproxy/", 404}, {"GET", "/kvproxy/table/", 404}, {"PUT", "/x/kvproxy/table", 404},
	} {
		status, _ := call(t, c.method, c.path, strings.NewReader(served))
		equal(t, c.method+" "+c.path, status, c.status)
	}
	equal(t, "table", hasTable(), false)
}

// spaces is a message that never ends, and never begins.
type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestATooLargeMessageIsRefused(t *testing.T) {
	reset(t)
	defer func(largest int64) { largestMessage = largest }(largestMessage)
	largestMessage = 1 << 20
	status, _ := call(t, http.MethodPut, "/kvproxy/table", io.MultiReader(spaces{}))
	equal(t, "one that does not say how long it is", status, 413)
	request := httptest.NewRequest(http.MethodPut, "/kvproxy/table", strings.NewReader(served))
	request.ContentLength = largestMessage + 1
	recorder := httptest.NewRecorder()
	middleware(t, Config{Mode: "table"}).ServeHTTP(recorder, request)
	equal(t, "one that says so", recorder.Code, 413)
	equal(t, "table", hasTable(), false)
}

func TestAnUnknownModeIsRefused(t *testing.T) {
	if _, err := New(nil, nil, &Config{Mode: "x"}, ""); err == nil { //nolint
		t.Error("taken")
	}
}
