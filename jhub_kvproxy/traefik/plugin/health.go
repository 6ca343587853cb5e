package kvroute

import "net/http"

// healthHandler refuses requests until there is a table.
type healthHandler struct {
	next http.Handler
}

func (h *healthHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !hasTable() {
		http.Error(w, "There is no routing table yet.", http.StatusServiceUnavailable)
		return
	}
	h.next.ServeHTTP(w, r)
}
