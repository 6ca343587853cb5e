package kvroute

import (
	"net/url"
	"strings"
	"testing"
)

// slowCanonicalPath is canonicalPath, character by character.
func slowCanonicalPath(path string) string {
	text := ""
	for i := 0; i < len(path); i++ {
		char := path[i]
		if char == '%' {
			char = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
			if char == '/' {
				text += "%2F"
				continue
			}
		}
		switch char {
		case '%':
			text += "%25"
		case '?':
			text += "%3F"
		case '#':
			text += "%23"
		default:
			text += string([]byte{char})
		}
	}
	return text
}

func unhex(digit byte) byte {
	return byte(strings.IndexByte("0123456789abcdef", strings.ToLower(string(digit))[0]))
}

func TestCanonicalPaths(t *testing.T) {
	for path, wanted := range map[string]string{
		"":                     "",
		"/":                    "/",
		"/user/alice/lab":      "/user/alice/lab",
		"/user/a%6Cice":        "/user/alice",
		"/user/a%2fb/c":        "/user/a%2Fb/c",
		"/user/a%252Fb":        "/user/a%252Fb",
		"/user/100%25":         "/user/100%25",
		"/a%3fb%23c":           "/a%3Fb%23c",
		"/user/%40~%7E":        "/user/@~~",
		"/user/%C3%A9/x":       "/user/é/x",
		"/user/%ff%fe":         "/user/\xff\xfe",
		"/user/%00%0d%0a":      "/user/\x00\r\n",
		"//a//b/":              "//a//b/",
		"/a%2e%2e/%2e/..;/x":   "/a../" + "./..;/x",
		"/us%65r/%61/b%2Fc%2f": "/user/a/b%2Fc%2F",
	} {
		equal(t, path, canonicalPath(path), wanted)
	}
}

func FuzzCanonicalPath(f *testing.F) {
	for _, path := range []string{"/", "/user/alice", "/a%2Fb%2f/c", "/%25%3F%23%00/é/%C3%A9", "//%2e%2E/..", "/%", "/%z0", "/a?b#c", "/\xff%ff"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.ParseRequestURI(text)
		if err != nil || !strings.HasPrefix(text, "/") {
			return
		}
		path := u.EscapedPath()
		got := canonicalPath(path)
		if wanted := slowCanonicalPath(path); got != wanted {
			t.Errorf("%q: got %q, wanted %q", path, got, wanted)
		}
		if again := canonicalPath(got); again != got {
			t.Errorf("%q: it is %q, and again %q", path, got, again)
		}
		if key := strings.TrimRight(got, "/"); !validKey.MatchString(key) {
			t.Errorf("%q: it is no key", key)
		}
	})
}

func TestCanonicalHosts(t *testing.T) {
	for host, wanted := range map[string]string{
		"":                  "",
		"hub.example.org":   "hub.example.org",
		"HUB.Example.org":   "hub.example.org",
		"hub.example.org.":  "hub.example.org",
		"hub.example:8000":  "hub.example",
		"hub.example.:8000": "hub.example",
		"127.0.0.1:80":      "127.0.0.1",
		"[::1]":             "::1",
		"[::1]:80":          "::1",
		"[::A]:80":          "::a",
		"[::1":              "[::1",
	} {
		equal(t, host, canonicalHost(host), wanted)
	}
}

func TestFirstSegments(t *testing.T) {
	for _, c := range []struct {
		path   string
		n      int
		wanted string
	}{
		{"", 0, ""}, {"", 3, ""}, {"/", 0, ""}, {"/", 1, "/"}, {"/a", 0, ""}, {"/a", 1, "/a"}, {"/a/b/c", 2, "/a/b"},
		{"/a/b/", 2, "/a/b"}, {"/a//b", 2, "/a/"}, {"/a/b", 7, "/a/b"},
	} {
		equal(t, c.path, firstSegments(c.path, c.n), c.wanted)
	}
}

func TestKeys(t *testing.T) {
	for _, key := range []string{"", "/a", "/a/b", "/a//b", "/é", "/%25%2F%3F%23", "/a b", "/a\nb", "/A", "host", "host/a", "h.example/A/b", "::1/a", "/@[]"} {
		if _, err := newEntry(key, route{Target: "http://h"}); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range []string{"/", "/a/", "host/", "/a%62", "/a%2f", "/%", "/%2", "/a?b", "/a#b", "Host/a", "a@b/c", "a?b", "%25/a", "[::1]/a"} {
		if _, err := newEntry(key, route{Target: "http://h"}); err == nil {
			t.Errorf("%q is taken for a key", key)
		}
	}
}
