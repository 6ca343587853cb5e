package kvroute

import (
	"net/http/httputil"
	"net/url"
	"strings"
	"unicode"
)

// sendChanged sends a request to the server of e, which needs more of it changed than scheme and host.
func sendChanged(pr *httputil.ProxyRequest, e *entry) {
	u := pr.Out.URL
	if e.route.Strip > 0 {
		prefix, rest, ok := stripSegments(u.EscapedPath(), e.route.Strip)
		if !ok {
			u.Scheme = badRequest
			return
		}
		pr.Out.Header.Add("X-Forwarded-Prefix", prefix)
		u.Path, u.RawPath = rest.Path, rest.RawPath
	}
	if e.target == nil {
		u.Scheme, u.Host = e.scheme, e.host
	} else {
		// It joins the paths, and sets the host in the header Host to that of the target.
		host := pr.In.Host
		pr.SetURL(e.target)
		pr.Out.Host = host
	}
	if e.route.ChangeOrigin {
		pr.Out.Host = ""
	}
}

// stripSegments splits an encoded path behind its first n segments, into the decoded prefix and the URL of the rest. It
// fails if the rest has "//", or a segment "." or "..", which would mean something else without what was before.
func stripSegments(path string, n int) (prefix string, rest *url.URL, ok bool) {
	parts := strings.SplitN(path, "/", n+2)
	prefix, encoded := path, "/"
	if len(parts) == n+2 {
		encoded += parts[n+1]
		prefix = path[:len(path)-len(encoded)]
	}
	decodedPrefix, err := url.PathUnescape(prefix)
	if err != nil {
		return "", nil, false
	}
	decoded, err := url.PathUnescape(encoded)
	if err != nil || strings.Contains(encoded, "//") {
		return "", nil, false
	}
	// "%2F" ends no segment, for the server either.
	for _, segment := range strings.Split(encoded, "/") {
		text, err := url.PathUnescape(segment)
		if err != nil || text == "." || text == ".." {
			return "", nil, false
		}
	}
	// A header cannot have control characters.
	if strings.IndexFunc(decodedPrefix, unicode.IsControl) < 0 {
		prefix = decodedPrefix
	}
	return prefix, &url.URL{Path: decoded, RawPath: encoded}, true
}
