package kvroute

import (
	"net/url"
	"regexp"
	"strings"
)

// A key of the table is a host, which may be empty, and a path. In the path all characters are decoded but four, which
// would mean something else then: "%25", "%2F", "%3F" and "%23".

var (
	encodeSegment = strings.NewReplacer("%", "%25", "/", "%2F", "?", "%3F", "#", "%23")
	encodedOnly   = regexp.MustCompile(`^(?:[^%?#]|%25|%2F|%3F|%23)*$`)
)

// canonicalPath returns the path of u in the form of the table's keys. What follows the first `depth` segments stays as
// it came.
func canonicalPath(u *url.URL, depth int) string {
	parts := strings.SplitN(u.EscapedPath(), "/", depth+2)
	for i, part := range parts {
		if i <= depth && strings.IndexByte(part, '%') >= 0 {
			if text, err := url.PathUnescape(part); err == nil {
				parts[i] = encodeSegment.Replace(text)
			}
		}
	}
	return strings.Join(parts, "/")
}

// canonicalHost returns the host that a request asks for, in lower case, without its port and trailing dot.
func canonicalHost(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			host = host[1:end]
		}
	} else if colon := strings.IndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// splitKey returns the host and the path of a key of the table.
func splitKey(key string) (host, path string) {
	if slash := strings.IndexByte(key, '/'); slash >= 0 {
		return key[:slash], key[slash:]
	}
	return key, ""
}

// isKey is whether a request can have this key.
func isKey(key string) bool {
	host, path := splitKey(key)
	return !strings.HasSuffix(path, "/") && encodedOnly.MatchString(path) && !strings.ContainsAny(host, "%?#[]@ ") &&
		strings.TrimSuffix(strings.ToLower(host), ".") == host
}
