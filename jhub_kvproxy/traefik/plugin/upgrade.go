package kvroute

import (
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
)

// Requests for websockets have these schemes if what flows on them is to be noted.
const notedScheme = "kvproxy-noted-"

// Some servers read the headers of websockets in this spelling only.
var websocketHeaders = map[string]string{
	"Sec-Websocket-Key":        "Sec-WebSocket-Key",
	"Sec-Websocket-Extensions": "Sec-WebSocket-Extensions",
	"Sec-Websocket-Accept":     "Sec-WebSocket-Accept",
	"Sec-Websocket-Protocol":   "Sec-WebSocket-Protocol",
	"Sec-Websocket-Version":    "Sec-WebSocket-Version",
}

type contextKey string

const entryKey contextKey = "kvproxy entry"

// upgrade lets a websocket pass, and no other protocol, because Traefik could not tell one request from the next in it.
func (e *entry) upgrade(pr *httputil.ProxyRequest, isNoted bool) {
	header := pr.Out.Header
	if !strings.EqualFold(header.Get("Upgrade"), "websocket") {
		header.Del("Upgrade")
		header.Del("Connection")
		return
	}
	for name, spelling := range websocketHeaders {
		if values, ok := header[name]; ok {
			header[spelling] = values
			delete(header, name)
		}
	}
	if isNoted && (pr.Out.URL.Scheme == "http" || pr.Out.URL.Scheme == "https") {
		pr.Out.URL.Scheme = notedScheme + pr.Out.URL.Scheme
		pr.Out = pr.Out.WithContext(context.WithValue(pr.Out.Context(), entryKey, e))
	}
}

// notingTransport sends requests for websockets, and wraps the connections that come of them.
type notingTransport struct {
	transport *http.Transport
	scheme    string
}

// registerNoting is a function of its own because the interpreter's wrapper of an interface reads its object anew at each
// use, from the variables of the function that made it: in a loop both schemes would get the last object.
func registerNoting(transport *http.Transport, scheme string) {
	var noting http.RoundTripper = &notingTransport{transport: transport, scheme: scheme}
	transport.RegisterProtocol(notedScheme+scheme, noting)
}

func (t *notingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	u := *req.URL
	u.Scheme = t.scheme
	sent := req.WithContext(req.Context())
	sent.URL = &u
	response, err := t.transport.RoundTrip(sent)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		return response, err
	}
	connection, isConnection := response.Body.(io.ReadWriteCloser)
	used, isUsed := req.Context().Value(entryKey).(*entry)
	if isConnection && isUsed {
		var noted io.ReadWriteCloser = &traffic{connection: connection, used: used}
		response.Body = noted
	}
	return response, nil
}
