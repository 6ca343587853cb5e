package kvroute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	statusClientClosed = 499
	// largestPage is in bytes.
	largestPage = 4 << 20
)

// pageTimeout is how long a page may take.
var pageTimeout = 10 * time.Second

// notForwarded are headers of an error page that are about its own connection, or not for the user.
var notForwarded = map[string]bool{
	"Connection": true, "Proxy-Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Te": true,
	"Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Content-Length": true, "Date": true,
	"Set-Cookie": true,
}

// errorPages answers requests that no server has answered.
type errorPages struct {
	// target is the URL below which pages are; nil: there are none.
	target    *url.URL
	tellsURL  bool
	transport http.RoundTripper
	away      *awayPage
}

func parseErrorTarget(text string) *url.URL {
	target, err := url.Parse(text)
	if err != nil || target.Host == "" {
		return nil
	}
	return target
}

// answer is the error handler of the proxy. failed is the request as it would have gone to the server.
func (p *errorPages) answer(w http.ResponseWriter, failed *http.Request, err error) {
	switch failed.URL.Scheme {
	case noRoute:
		if !hasTable() {
			if p.away.answer(w, failed, "1") {
				return
			}
			w.Header().Set("Retry-After", "1")
			http.Error(w, "There is no routing table yet.", http.StatusServiceUnavailable)
			return
		}
		http.NotFound(w, failed)
		return
	case badRequest:
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	case noTunnel:
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	upgrade := failed.Header.Get("Upgrade")
	if strings.IndexFunc(upgrade, isNotPrintable) >= 0 {
		// ReverseProxy has refused it before it asked where to send it.
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	// This goes to Traefik's log at the level DEBUG.
	fmt.Printf("%s: %v\n", failed.URL.Host, err)
	if errors.Is(err, context.Canceled) || failed.Context().Err() != nil {
		w.WriteHeader(statusClientClosed)
		_, _ = io.WriteString(w, "Client Closed Request")
		return
	}
	if isBodysFault(failed, err) {
		status := http.StatusBadRequest
		if os.IsTimeout(err) {
			status = http.StatusRequestTimeout
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	if p.target == nil {
		status := http.StatusBadGateway
		if os.IsTimeout(err) {
			status = http.StatusGatewayTimeout
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, http.StatusText(status))
		return
	}
	if upgrade == "" && failed.URL.Host != p.target.Host && !isHub(failed.URL.Host) {
		if p.showPage(w, failed) {
			return
		}
	}
	if p.away.answer(w, failed, "10") {
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Retry-After", "10")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "Service Unavailable")
}

// wrongChunks are the errors of net/http that say that a request's body has wrong chunks. They are no variables there.
var wrongChunks = map[string]bool{
	"chunked encoding contains too much non-data": true, "malformed chunked encoding": true,
	"chunked line ends with bare LF": true, "invalid CR in chunked line": true, "header line too long": true,
	"empty hex number for chunk length": true, "invalid byte in chunk length": true, "http chunk length too large": true,
}

// isBodysFault is whether the request failed because its body could not be read from the client.
func isBodysFault(failed *http.Request, err error) bool {
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "readfrom" {
		// The body was read while it was written to the server.
		err = operation.Err
	}
	if errors.As(err, &operation) {
		return operation.Op == "read" && operation.Addr != nil && operation.Addr.String() == failed.RemoteAddr
	}
	return err == io.ErrUnexpectedEOF || wrongChunks[err.Error()]
}

func isNotPrintable(char rune) bool {
	return char < ' ' || char > '~'
}

// showPage answers with the page of the target, and returns whether there is one.
func (p *errorPages) showPage(w http.ResponseWriter, failed *http.Request) bool {
	ctx, cancel := context.WithTimeout(failed.Context(), pageTimeout)
	defer cancel()
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, p.pageURL(failed), nil)
	if err != nil {
		return false
	}
	// Nothing else of the user's. JupyterHub would set a cookie with a page that somebody navigates to.
	asked.Header["Accept"] = failed.Header["Accept"]
	asked.Header.Set("User-Agent", "")
	asked.Header.Set("Sec-Fetch-Mode", "no-cors")
	page, err := p.transport.RoundTrip(asked)
	if err != nil {
		return false
	}
	defer page.Body.Close()
	if page.StatusCode >= http.StatusInternalServerError {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(page.Body, largestPage+1))
	if err != nil || len(body) > largestPage {
		return false
	}
	for _, names := range page.Header["Connection"] {
		for _, name := range strings.Split(names, ",") {
			page.Header.Del(strings.TrimSpace(name))
		}
	}
	header := w.Header()
	for name, values := range page.Header {
		if !notForwarded[name] {
			header[name] = values
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(body)
	return true
}

func (p *errorPages) pageURL(failed *http.Request) string {
	page := *p.target
	page.Path = strings.TrimSuffix(page.Path, "/") + "/503"
	page.RawPath = ""
	if p.target.RawPath != "" {
		page.RawPath = strings.TrimSuffix(p.target.RawPath, "/") + "/503"
	}
	if p.tellsURL {
		page.RawQuery = "url=" + url.QueryEscape(wantedURL(failed))
	}
	return page.String()
}

func wantedURL(failed *http.Request) string {
	scheme := failed.Header.Get("X-Forwarded-Proto")
	if scheme == "" {
		scheme = "http"
	}
	host := failed.Header.Get("X-Forwarded-Host")
	if host == "" {
		host = failed.Host
	}
	return scheme + "://" + host + failed.RequestURI
}
