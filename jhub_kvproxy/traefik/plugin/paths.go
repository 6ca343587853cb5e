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

	// validHost is for hosts with or without a port, and takes what net/http takes over HTTP/1.1. Over HTTP/2 it takes
	// anything, and sends an empty Host on, or that of the server.
	validHost = regexp.MustCompile(`^[!$%&'()*+,.0-9:;=A-Z\[\]_a-z~-]+$`)

	// validKey is for the characters of a key.
	validKey = regexp.MustCompile(`^[^/%?#@\[\] A-Z]*(?:/(?:[^%?#]|%25|%2F|%3F|%23)*)?$`)
)

// canonicalPath returns an encoded path as it is in the table's keys.
func canonicalPath(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if strings.IndexByte(segment, '%') >= 0 {
			if text, err := url.PathUnescape(segment); err == nil {
				segments[i] = encodeSegment.Replace(text)
			}
		}
	}
	return strings.Join(segments, "/")
}

// canonicalHost returns the host that a request asks for, in lower case, without its port and trailing dot.
func canonicalHost(host string) string {
	if strings.HasPrefix(host, "[") {
		// Only an address has a colon.
		if end := strings.IndexByte(host, ']'); end > 0 && strings.IndexByte(host[:end], ':') > 0 {
			host = host[1:end]
		}
	} else if colon := strings.IndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// splitKey returns the host and the path of a key.
func splitKey(key string) (host, path string) {
	if slash := strings.IndexByte(key, '/'); slash >= 0 {
		return key[:slash], key[slash:]
	}
	return key, ""
}

// firstSegments returns the first n segments of a path.
func firstSegments(path string, n int) string {
	parts := strings.SplitN(path, "/", n+2)
	if len(parts) < n+2 {
		return path
	}
	return path[:len(path)-len(parts[n+1])-1]
}
