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

// sendUpgrade lets a request for a websocket pass. For any other protocol it makes a plain request of it, because what
// flows then may be requests again, which nobody would check (h2c).
func sendUpgrade(pr *httputil.ProxyRequest) {
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
}
