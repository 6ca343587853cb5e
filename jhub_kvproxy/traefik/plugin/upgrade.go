package kvroute

import (
	"net/http/httputil"
	"strings"
)

// Some servers read the headers of websockets in this spelling only.
var websocketHeaders = map[string]string{
	"Sec-Websocket-Key":        "Sec-WebSocket-Key",
	"Sec-Websocket-Extensions": "Sec-WebSocket-Extensions",
	"Sec-Websocket-Accept":     "Sec-WebSocket-Accept",
	"Sec-Websocket-Protocol":   "Sec-WebSocket-Protocol",
	"Sec-Websocket-Version":    "Sec-WebSocket-Version",
}

// sendUpgrade lets a request for another protocol pass, but makes a plain request of one for HTTP/2, whose requests
// nobody would check (h2c, CVE-2026-88008).
func sendUpgrade(pr *httputil.ProxyRequest) {
	header := pr.Out.Header
	protocol := header.Get("Upgrade")
	for _, token := range strings.Split(protocol, ",") {
		if strings.EqualFold(strings.TrimSpace(token), "h2c") {
			header.Del("Upgrade")
			header.Del("Connection")
			return
		}
	}
	if !strings.EqualFold(protocol, "websocket") || header["Connection"] == nil {
		return
	}
	for name, spelling := range websocketHeaders {
		if values, ok := header[name]; ok {
			header[spelling] = values
			delete(header, name)
		}
	}
}
