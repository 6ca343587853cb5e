package kvroute

import (
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// slowLookUp is lookUp, segment by segment over all of the table.
func slowLookUp(keys map[string]bool, host, path string) (string, bool) {
	best, found, hasHost := "", false, false
	for key := range keys {
		keyHost, keyPath := splitKey(key)
		if keyHost != "" && keyHost != host || !isAtOrBelow(path, keyPath) {
			continue
		}
		if !found || keyHost != "" && !hasHost || (keyHost != "") == hasHost && len(key) > len(best) {
			best, found, hasHost = key, true, keyHost != ""
		}
	}
	return best, found
}

func isAtOrBelow(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

var someSegments = []string{"user", "alice", "bob", "a%2Fb", "a", "b", "", "%25", "é", "..", "x?y"[:1], "hub", "services", "%3F%23"}

// spell writes a canonical path in one of its spellings.
func spell(random *rand.Rand, path string) string {
	text := ""
	for i := 0; i < len(path); i++ {
		char := path[i]
		switch {
		case char == '%':
			if random.Intn(2) == 0 {
				text += path[i : i+3]
			} else {
				text += strings.ToLower(path[i : i+3])
			}
			i += 2
		case char == '/':
			text += "/"
		case char >= 0x80 || random.Intn(6) == 0:
			text += fmt.Sprintf("%%%02X", char)
		default:
			text += string(char)
		}
	}
	return text
}

func somePath(random *rand.Rand, most int) string {
	path := ""
	for n := random.Intn(most + 1); n > 0; n-- {
		path += "/" + someSegments[random.Intn(len(someSegments))]
	}
	return path
}

func someKey(random *rand.Rand) string {
	key := strings.TrimRight(somePath(random, 4), "/")
	if random.Intn(12) == 0 {
		key = "h.example" + key
	}
	return key
}

// checkLookUps compares all ways to look up with the slow one.
func checkLookUps(t *testing.T, random *rand.Rand, keys map[string]bool) {
	t.Helper()
	for range 20 {
		path := somePath(random, 6)
		if random.Intn(3) == 0 {
			for key := range keys {
				_, keyPath := splitKey(key)
				path = keyPath + path
				break
			}
		}
		if path == "" {
			path = "/"
		}
		host := []string{"other", "H.example.:80"}[random.Intn(2)]
		uri := spell(random, path)
		if strings.HasPrefix(uri, "//") {
			continue // the client of these tests would take it for a host
		}
		wanted, found := slowLookUp(keys, canonicalHost(host), path)
		request := httptest.NewRequest(http.MethodGet, uri+[]string{"", "?a=/%2F"}[random.Intn(2)], nil)
		request.Host = host
		for name, look := range map[string]func(*http.Request) *entry{"lookUp": lookUp, "lookUpQuickly": lookUpQuickly} {
			e := look(request)
			if found != (e != nil) || e != nil && e.key != wanted {
				t.Fatalf("%s %s %s: got %v, wanted %q %v of %v", name, host, uri, e, wanted, found, keys)
			}
		}
	}
}

func FuzzLookUp(f *testing.F) {
	for seed := range int64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		reset(t)
		random := rand.New(rand.NewSource(seed))
		keys := map[string]bool{}
		for i := range 12 {
			message := &message{from: table.revision, revision: fmt.Sprintf("1-w.%02d", i), put: map[string]*entry{}}
			for n := random.Intn(6); n > 0; n-- {
				key := someKey(random)
				r := route{Target: fmt.Sprintf("http://s%d", random.Intn(3)), Strip: random.Intn(2) * random.Intn(2)}
				e, err := newEntry(key, r)
				if err != nil {
					continue
				}
				message.put[key] = e
			}
			whole := i == 0 || random.Intn(6) == 0
			if whole {
				keys = map[string]bool{}
			} else {
				for key := range keys {
					if random.Intn(3) == 0 {
						message.remove = append(message.remove, key)
						delete(keys, key)
					}
				}
			}
			for key := range message.put {
				keys[key] = true
			}
			change := changeTable
			if whole {
				change = replaceTable
			}
			if err := change(message); err != nil {
				t.Fatal(err)
			}
			checkLookUps(t, random, keys)
		}
	})
}

func TestTheQuickWayIsWhereMostRoutesAre(t *testing.T) {
	reset(t)
	routes := map[string]route{"": to("hub")}
	quickly := func(path string) bool {
		quick := shape.Load().(*tableShape).quick
		_, ok := quick.routes.Load(quick.cut.FindString(path))
		return ok
	}
	for i := range 20 {
		routes[fmt.Sprintf("/user/u%d", i)] = to("u")
	}
	put(t, "1-w.1", routes)
	equal(t, "a user", fmt.Sprint(quickly("/user/u1"), quickly("/user/u1/lab/x?y"), quickly("/user/u1?x")), "true true true")
	equal(t, "others", fmt.Sprint(quickly("/hub/x"), quickly("/"), quickly("/user/u%31/x"), quickly("http://h/user/u1")), "false false false false")
	put(t, "1-w.2", map[string]route{"": to("hub"), "/user/u1": to("u"), "/user/u2": to("u"), "/user/u1/named": to("n")})
	equal(t, "with one below", fmt.Sprint(quickly("/user/u1/lab"), quickly("/user/u2/lab"), quickly("/user/u1/named")), "false true false")
	push(t, http.MethodPatch, object{"from": "1-w.2", "revision": "1-w.3", "form": "f", "delete": []string{"/user/u1/named"}})
	equal(t, "without it", quickly("/user/u1/lab"), true)
	push(t, http.MethodPatch, object{"from": "1-w.3", "revision": "1-w.4", "form": "f", "put": map[string]route{"h/x": to("x")}})
	equal(t, "with a host", quickly("/user/u1/lab"), false)
	push(t, http.MethodPatch, object{"from": "1-w.4", "revision": "1-w.5", "form": "f", "delete": []string{"h/x"}})
	equal(t, "without", quickly("/user/u1/lab"), true)
}

func TestTheTableChangesWhileManyRead(t *testing.T) {
	reset(t)
	routes := map[string]route{"": {Target: "http://hub", Kind: "hub"}, "/user/stays": to("stays")}
	put(t, "1-w.0", routes)
	var readers, writers sync.WaitGroup
	done := make(chan bool)
	for i := range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				request := httptest.NewRequest(http.MethodGet, "/user/stays/x", nil)
				if e := lookUpQuickly(request); e == nil || e.host != "stays" {
					t.Errorf("it goes to %v", e)
					return
				}
				lookUp(request).touch()
				request = httptest.NewRequest(http.MethodGet, fmt.Sprintf("/user/u%d/x", n%50), nil)
				request.Host = []string{"h.example", "other"}[i%2]
				if e := lookUpQuickly(request); e == nil || e.host != "hub" && e.host != "u" && e.host != "h" {
					t.Errorf("it goes to %v", e)
					return
				}
				isHub("hub")
				hasTable()
				agesOfUse()
			}
		}()
	}
	for i := range 4 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for n := range 100 {
				_, answer := call(t, http.MethodGet, "/kvproxy/table", nil)
				key := fmt.Sprintf("/user/u%d", n%50)
				message := object{"from": answer["revision"], "revision": fmt.Sprintf("1-w.%d", n), "form": "f",
					"put":    map[string]route{key: to("u"), key + "/below/it": to("u"), fmt.Sprintf("h.example/user/u%d", n%7): to("h")},
					"delete": []string{fmt.Sprintf("/user/u%d", n%23), fmt.Sprintf("h.example/user/u%d", n%5)}}
				push(t, http.MethodPatch, message)
				if n%25 == 24 && i == 0 {
					push(t, http.MethodPut, object{"revision": fmt.Sprintf("1-w.%d", n), "form": "f", "put": routes})
				}
			}
		}()
	}
	writers.Wait()
	close(done)
	readers.Wait()
}
