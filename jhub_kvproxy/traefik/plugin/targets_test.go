package kvroute

import (
	"net/http"
	"strings"
	"testing"
)

func TestPathsOfTargetsComeBeforeThatOfTheRequest(t *testing.T) {
	backend := serve(t, mirror)
	server := site(t, Config{}, map[string]route{
		"":            {Target: backend.URL},
		"/slash":      {Target: backend.URL + "/"},
		"/pre":        {Target: backend.URL + "/x/y"},
		"/pre%2Fpost": {Target: backend.URL + "/x/"},
		"/encoded":    {Target: backend.URL + "/x%2Fy"},
		"/bare":       {Target: backend.URL + "/x", Bare: true},
	})
	for path, wanted := range map[string]string{
		"/":                "/",
		"/a?b=c":           "/a?b=c",
		"/slash/a":         "/slash/a",
		"/pre":             "/x/y/pre",
		"/pre/a%20b?c=/":   "/x/y/pre/a%20b?c=/",
		"/pre/a%2Fb":       "/x/y/pre/a%2Fb",
		"/pre//a":          "/x/y/pre//a",
		"/pre%2fpost/%41":  "/x/pre%2fpost/%41",
		"/encoded/a":       "/x%2Fy/encoded/a",
		"/bare/a%2Fb":      "/bare/a%2Fb",
		"/a;b/%7E~%40@?;x": "/a;b/%7E~%40@?;x",
		"/a?x=%zz;y&&=":    "/a?x=%zz;y&&=",
		"/a?":              "/a?",
		"//a/b":            "//a/b",
	} {
		request, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		request.URL.Opaque = "//" + request.Host + path
		if strings.HasPrefix(path, "//") {
			c := dial(t, server)
			c.say("GET " + path + " HTTP/1.1|Host: h|Connection: close||")
			_, body := c.hear(http.MethodGet)
			equal(t, path, whatWasSeen(t, body).URI, wanted)
			continue
		}
		_, body := do(t, request)
		equal(t, path, whatWasSeen(t, body).URI, wanted)
	}
}

func TestPrefixesAreStripped(t *testing.T) {
	backend := serve(t, mirror)
	server := site(t, Config{}, map[string]route{
		"":              {Target: backend.URL},
		"/s/one":        {Target: backend.URL, Strip: 2},
		"/s/a%2Fb":      {Target: backend.URL, Strip: 2},
		"/s/é":          {Target: backend.URL, Strip: 2},
		"/s/line\nfeed": {Target: backend.URL, Strip: 2},
		"/s/x":          {Target: backend.URL + "/pre", Strip: 2},
		"/s/part/deep":  {Target: backend.URL, Strip: 1},
	})
	for path, wanted := range map[string]string{
		"/s/one":            "/ /s/one",
		"/s/one/":           "/ /s/one",
		"/s/one?a=b":        "/?a=b /s/one",
		"/s/one/a/b?c":      "/a/b?c /s/one",
		"/s/one/a%2Fb/%41":  "/a%2Fb/%41 /s/one",
		"/%73/on%65/x":      "/x /s/one",
		"/s/a%2Fb/c":        "/c /s/a/b",
		"/s/a%2fb/c%2Fd":    "/c%2Fd /s/a/b",
		"/s/%C3%A9/x":       "/x /s/é",
		"/s/line%0afeed/x":  "/x /s/line%0afeed",
		"/s/x/y":            "/pre/y /s/x",
		"/s/x":              "/pre/ /s/x",
		"/s/part/deep/x":    "/part/deep/x /s",
		"/s/one/..;/x":      "/..;/x /s/one",
		"/s/one/a..b/...":   "/a..b/... /s/one",
		"/s/other":          "/s/other ",
		"/s/one/a%5C..%5Cb": "/a%5C..%5Cb /s/one",
		"/s/one/..%2f":      "/..%2f /s/one",
		"/s/one/%2Fx":       "/%2Fx /s/one",
	} {
		_, body := get(t, server.URL+path)
		what := whatWasSeen(t, body)
		equal(t, path, what.URI+" "+what.Header.Get("X-Forwarded-Prefix"), wanted)
	}
	for _, path := range []string{"/s/one//", "/s/one//x", "/s/one/a//b", "/s/one/./x", "/s/one/a/..", "/s/one/%2e%2e/x"} {
		c := dial(t, server)
		c.say("GET " + path + " HTTP/1.1|Host: h|Connection: close||")
		response, body := c.hear(http.MethodGet)
		equal(t, path, response.StatusCode, http.StatusBadRequest)
		equal(t, path, body, "Bad Request\n")
	}
	// What the client says of a prefix stays beside it, as with Traefik, which removes it before that at its entry point.
	_, body := get(t, server.URL+"/s/one/x", "X-Forwarded-Prefix", "/theirs", "Connection", "X-Forwarded-Prefix")
	equal(t, "prefixes", whatWasSeen(t, body).Header["X-Forwarded-Prefix"], "[/s/one]")
}

func TestServersGetTheHostOfTheUserOrTheirOwn(t *testing.T) {
	backend := serve(t, mirror)
	server := site(t, Config{}, map[string]route{
		"":   {Target: backend.URL},
		"/o": {Target: backend.URL, ChangeOrigin: true},
		"/p": {Target: backend.URL + "/x", ChangeOrigin: true},
		"/q": {Target: backend.URL + "/x"},
	})
	theirs := strings.TrimPrefix(backend.URL, "http://")
	for path, wanted := range map[string]string{"/": "hub.example:80", "/o": theirs, "/p": theirs, "/q": "hub.example:80"} {
		_, body := get(t, server.URL+path, "Host", "hub.example:80")
		what := whatWasSeen(t, body)
		equal(t, path, what.Host, wanted)
		equal(t, path, what.Header.Get("X-Forwarded-Host"), "hub.example:80")
	}
}
