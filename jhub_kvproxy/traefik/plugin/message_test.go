package kvroute

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const served = `{"revision": "5-w.1", "form": "f", "put": {"": {"t": "http://hub:1"}, "/user/a": {"t": "http://a:1"}}}`

// notMessages are refused, and say why.
var notMessages = map[string]string{
	``:                                      "cut off",
	`{`:                                     "cut off",
	`x`:                                     "invalid character",
	`null`:                                  "wanted",
	`[]`:                                    "wanted",
	`"x"`:                                   "wanted",
	`{}`:                                    "no revision",
	`{"revision": ""}`:                      "no revision",
	`{"revision": null}`:                    "no revision",
	`{"revision": 7}`:                       "cannot unmarshal number",
	`{"revision": {"a": 1}}`:                "cannot unmarshal object",
	`{"revision": "9-w.1"} {}`:              "follows",
	`{"revision": "9-w.1"} x`:               "follows",
	`{"revision": "9-w.1"}}`:                "follows",
	`{"revision": "9-w.1",}`:                "invalid character",
	`{"revision": "9-w.1", "form"`:          "cut off",
	`{"revision": "9-w.1", "form":`:         "cut off",
	`{"revision": "9-w.1", "form": "f`:      "cut off",
	`{"revision": "9-w.1", "delete": ["/a"`: "cut off",
	`{"revision": "9-w.1", "later": [1`:     "cut off",
	`{"revision": "9-w.1", "put": {"/a": {`: "cut off",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a"}`:                             "cut off",
	`{"revision": "9-w.1", "revision": "9-w.2"}`:                                        "twice",
	`{"revision": "9-w.1", "put": null}`:                                                "wanted",
	`{"revision": "9-w.1", "put": []}`:                                                  "wanted",
	`{"revision": "9-w.1", "put": {}, "put": {}}`:                                       "twice",
	`{"revision": "9-w.1", "put": {"/a": null}}`:                                        "not a URL",
	`{"revision": "9-w.1", "put": {"/a": {}}}`:                                          "not a URL",
	`{"revision": "9-w.1", "put": {"/a": "http://a"}}`:                                  "cannot unmarshal string",
	`{"revision": "9-w.1", "put": {"/a": {"t": 1}}}`:                                    "cannot unmarshal number",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a", "s": "1"}}}`:                 "cannot unmarshal string",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a", "s": 0.5}}}`:                 "cannot unmarshal number",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a", "s": -1}}}`:                  "segments to strip",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a", "s": 2}}}`:                   "segments to strip",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a", "o": 1}}}`:                   "cannot unmarshal number",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a"}, "/a": {"t": "http://b"}}}`:  "twice",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a"}, "/a/": {"t": "http://b"}}}`: "host and path",
	`{"revision": "9-w.1", "put": {"/a%62": {"t": "http://a"}}}`:                        "host and path",
	`{"revision": "9-w.1", "delete": "/a"}`:                                             "cannot unmarshal string",
	`{"revision": "9-w.1", "delete": [1]}`:                                              "cannot unmarshal number",
	`{"revision": "9-w.1", "delete": [null]}`:                                           "null",
	`{"revision": "9-w.1", "delete": ["/a", null]}`:                                     "null",
	`{"revision": "9-w.1", "delete": ["/a"], "delete": ["/b"]}`:                         "twice",
	`{"revision": "9-w.1", "put": {"/a": {"t": "http://a"`:                              "cut off",
	`{"revision": "9-w.1", "later": ` + strings.Repeat(`[`, 20000):                      "",
	`{"revision": "9-w.1", "later": ` + strings.Repeat(`{"a":`, 20000):                  "",
}

var notTargets = []string{
	"", "x", "a:1", "//a:1", "http:", "http://", "http:///x", "http://:80", "ftp://a", "unix:///run/x", "http+unix://x", "file:///etc/passwd",
	"javascript:alert(1)", "http://a b", "http://a\n", "http://u:p@a", "http://u@a", "http://a?x", "http://a/?", "http://a#x", "http://a:x", "http://[::1",
	"kvproxy-noted-http://a", "kvproxy-no-route://a", "HTTPS//a", "http://a/%zz", " http://a",
}

func TestWhatIsNoMessageIsRefusedAndChangesNothing(t *testing.T) {
	reset(t)
	push(t, http.MethodPut, served)
	for _, target := range notTargets {
		notMessages[fmt.Sprintf(`{"revision": "9-w.1", "put": {"/a": {"t": %q}}}`, target)] = "target"
	}
	for message, why := range notMessages {
		for _, method := range []string{http.MethodPut, http.MethodPatch} {
			status, answer := push(t, method, message)
			if text := fmt.Sprint(answer["error"]); status != http.StatusBadRequest || !strings.Contains(text, why) {
				t.Errorf("%s %.100s: %d %v", method, message, status, answer)
			}
		}
	}
	assertServed(t)
}

func assertServed(t *testing.T) {
	t.Helper()
	_, answer := call(t, http.MethodGet, "/kvproxy/table", nil)
	equal(t, "what is served", fmt.Sprintln(answer["revision"], answer["form"], answer["routes"]), "5-w.1 f 2\n")
	equal(t, "user", lookUpPath("/user/a/x").host, "a:1")
	equal(t, "hub", lookUpPath("/a").host, "hub:1")
}

func lookUpPath(path string) *entry {
	request, err := http.NewRequest(http.MethodGet, "http://host"+path, nil)
	if err != nil {
		panic(err)
	}
	return lookUp(request)
}

func TestAMessageThatIsCutOffAnywhereIsRefused(t *testing.T) {
	reset(t)
	push(t, http.MethodPut, served)
	message := `{"revision": "9-w.2", "form": "g", "later": {"a": [1, "b"]}, "put": {"/user/b": {"t": "http://b:1/é", "s": 2, "o": true}, "": {"t": "http://x"}}, "delete": ["/user/a"]}`
	for end := range []byte(message) {
		if status, answer := push(t, http.MethodPut, message[:end]); status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", message[:end], status, answer)
		}
	}
	assertServed(t)
	status, answer := push(t, http.MethodPut, message)
	equal(t, "all of it", fmt.Sprintln(status, answer["revision"], answer["routes"]), "200 9-w.2 2\n")
}

func TestWhatIsSaidOfAMessageIsShort(t *testing.T) {
	reset(t)
	long := strings.Repeat("é", 1<<20)
	for _, message := range []string{
		`{"` + long + `": 1, "` + long + `": 1}`,
		`"` + long + `"`,
		`{"put": {"` + long + `": {"t": "http://a"}, "` + long + `": {"t": "http://a"}}}`,
		`{"put": {"/a": {"t": "http://a", "s": ` + strings.Repeat("1", 1<<20) + `}}}`,
	} {
		status, answer := push(t, http.MethodPut, message)
		if text := fmt.Sprint(answer["error"]); status != http.StatusBadRequest || text == "" || len(text) > 1000 {
			t.Errorf("%.100s: %d and %d bytes, %.100s", message, status, len(text), text)
		}
	}
}

func TestFieldsOfANewerHubAreIgnored(t *testing.T) {
	reset(t)
	message := `{"later": {"deep": [{"revision": "x"}]}, "revision": "1-w.1", "form": "f", "put": {"/a": {"later": [1], "t": "http://a:1", "k": "later"}}}`
	status, answer := push(t, http.MethodPut, message)
	equal(t, "later fields", fmt.Sprintln(status, answer["routes"]), "200 1\n")
	equal(t, "its requests are counted with others", lookUpPath("/a").counted == &otherRequests, true)
}

func TestTargets(t *testing.T) {
	for text, wanted := range map[string]string{
		"http://a":                 "http a <nil>",
		"http://a/":                "http a <nil>",
		"https://a.example:8443":   "https a.example:8443 <nil>",
		"HTTP://A:80":              "http A:80 <nil>",
		"http://a_b:80":            "http a_b:80 <nil>",
		"http://[::1]:80":          "http [::1]:80 <nil>",
		"http://[fe80::1%25lo]:80": "http [fe80::1%lo]:80 <nil>",
		"http://a:80/x/y":          "http a:80 http://a:80/x/y",
		"http://a:80/x%2Fy/":       "http a:80 http://a:80/x%2Fy/",
		"http://a:/":               "http a: <nil>",
	} {
		e, err := newEntry("/a", route{Target: text})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		target := "<nil>"
		if e.target != nil {
			target = e.target.String()
		}
		equal(t, text, e.scheme+" "+e.host+" "+target, wanted)
		equal(t, text+" is plain", e.isPlain, e.target == nil)
	}
	for _, r := range []route{{Target: "http://a", Strip: 1}, {Target: "http://a", ChangeOrigin: true}, {Target: "http://a/x"}} {
		e, err := newEntry("/a", r)
		equal(t, fmt.Sprint(r), fmt.Sprint(err, e.isPlain), "<nil> false")
	}
	e, err := newEntry("/a", route{Target: "http://a/x", Bare: true})
	equal(t, "the path of a target is ignored", fmt.Sprint(err, e.isPlain), "<nil> true")
}

func FuzzMessage(f *testing.F) {
	for message := range notMessages {
		f.Add(message)
	}
	f.Add(served)
	f.Fuzz(func(t *testing.T, message string) {
		m, err := readMessage(strings.NewReader(message))
		if m == nil && err == nil || m != nil && m.isRouteBad && err == nil {
			t.Errorf("%q: %v %v", message, m, err)
		}
		if err != nil {
			return
		}
		for key, e := range m.put {
			if e == nil || e.key != key || e.scheme != "http" && e.scheme != "https" || e.host == "" {
				t.Errorf("%q: %v", message, e)
			}
		}
	})
}
