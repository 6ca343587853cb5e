package kvroute

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// defaultAwayPage is what browsers show while neither the server nor a page of the hub can be had. It needs no other
// file, and asks again by itself.
const defaultAwayPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="10">
<title>JupyterHub is away for the moment</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1.1rem/1.6 system-ui, sans-serif; }
main { max-width: 34rem; padding: 2rem; border-left: .3rem solid #f37726; }
h1 { margin-top: 0; font-size: 1.6rem; line-height: 1.3; }
a { color: inherit; }
</style>
</head>
<body>
<main>
<h1>JupyterHub is away for the moment</h1>
<p>It is being restarted, or has a problem. Servers that were running usually go on, and so do the notebooks in them.</p>
<p>This page tries again every 10 seconds; you need to do nothing. <a href="">Try now</a></p>
</main>
</body>
</html>
`

// awayPolicy is for the page above, which loads nothing.
const awayPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// longestAccept is in bytes. Browsers send 0.2 KB.
const longestAccept = 4 << 10

// awayPage answers browsers in the place of a plain text.
type awayPage struct {
	html   string
	policy string
}

// newAwayPage makes it of the admin's own page, in Base64; empty: there is none.
func newAwayPage(own string) *awayPage {
	if html, err := base64.StdEncoding.DecodeString(own); err == nil && len(html) > 0 {
		return &awayPage{html: string(html)}
	}
	return &awayPage{html: defaultAwayPage, policy: awayPolicy}
}

// answer shows the page if somebody navigates to it, and returns whether it did. The status is 503.
func (p *awayPage) answer(w http.ResponseWriter, failed *http.Request, retryAfter string) bool {
	if !wantsHTML(failed.Header["Accept"]) || isProgram(failed.Header) {
		return false
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Retry-After", retryAfter)
	header.Set("X-Content-Type-Options", "nosniff")
	if p.policy != "" {
		header.Set("Content-Security-Policy", p.policy)
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(p.html))
	return true
}

// isProgram is whether a script of a page asks, or somebody for a websocket, neither of whom shows a page. Browsers send
// the header Sec-Fetch-Mode to hosts with TLS and to their own machine, and libraries of scripts often X-Requested-With.
func isProgram(header http.Header) bool {
	mode := header["Sec-Fetch-Mode"]
	return len(header["Upgrade"]) > 0 || len(header["X-Requested-With"]) > 0 || (len(mode) > 0 && mode[0] != "navigate")
}

// wantsHTML is whether the header Accept names HTML, as browsers do when somebody navigates. A list that is longer than
// theirs is not read: it might take the interpreter seconds.
func wantsHTML(accept []string) bool {
	choices := strings.Join(accept, ",")
	if len(choices) > longestAccept {
		return false
	}
	for _, choice := range strings.Split(choices, ",") {
		parts := strings.Split(strings.ToLower(strings.ReplaceAll(choice, " ", "")), ";")
		if parts[0] == "text/html" && !isRefused(parts[1:]) {
			return true
		}
	}
	return false
}

func isRefused(parameters []string) bool {
	for _, parameter := range parameters {
		if strings.HasPrefix(parameter, "q=") && strings.Trim(parameter[2:], "0.") == "" {
			return true
		}
	}
	return false
}
