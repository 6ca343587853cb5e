package kvroute

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"

// awaySite has a hub that is away, and a user's server that is.
func awaySite(t *testing.T, own string) string {
	t.Helper()
	gone := dead(t)
	routes := map[string]route{"": {Target: gone, Kind: "hub"}, "/user/a": {Target: dead(t), Kind: "user"}}
	return site(t, Config{ErrorTarget: gone + "/hub/error", AwayPage: base64.StdEncoding.EncodeToString([]byte(own))}, routes).URL
}

func TestABrowserSeesAPageWhileTheHubIsAway(t *testing.T) {
	url := awaySite(t, "")
	for _, path := range []string{"/hub/login", "/user/a/lab"} {
		response, body := get(t, url+path, "Accept", browser)
		header := response.Header
		equal(t, path, fmt.Sprint(response.StatusCode, header["Content-Type"], header["Cache-Control"], header["Retry-After"], header["Content-Security-Policy"]),
			"503 [text/html; charset=utf-8] [no-store] [10] ["+awayPolicy+"]")
		equal(t, path, body, defaultAwayPage)
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	for _, word := range []string{"src=", "url(", "http:", "https:", "<script", "<link"} {
		if strings.Contains(defaultAwayPage, word) {
			t.Errorf("the page has %s", word)
		}
	}
	for _, word := range []string{`lang="en"`, `http-equiv="refresh" content="10"`, "color-scheme: light dark", `name="viewport"`, "<main>"} {
		if !strings.Contains(defaultAwayPage, word) {
			t.Errorf("the page has no %s", word)
		}
	}
}

func TestOthersThanBrowsersGetWhatTheyGot(t *testing.T) {
	url := awaySite(t, "<h1>ours</h1>")
	for _, accept := range []string{"", "*/*", "application/json", "text/*", "text/html;q=0", "text/html; q=0.00, */*", "text/htmlx", "application/xhtml+xml"} {
		response, body := get(t, url+"/hub/api", "Accept", accept)
		assertPlain(t, "Accept: "+accept, response, body)
	}
	response, body := get(t, url+"/user/a/", "Accept", browser, "Connection", "Upgrade", "Upgrade", "websocket")
	assertPlain(t, "a websocket", response, body)
	for _, header := range [][]string{{"Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Mode", "no-cors"}, {"X-Requested-With", "XMLHttpRequest"}} {
		response, body = get(t, url+"/hub/", append([]string{"Accept", browser}, header...)...)
		assertPlain(t, header[1], response, body)
	}
	// To read this would take the interpreter seconds.
	response, body = get(t, url+"/hub/", "Accept", strings.Repeat(",", 5000)+"text/html")
	assertPlain(t, "a long list", response, body)
	response, body = get(t, url+"/hub/", strings.Split(strings.Repeat("Accept|;q=1|", 1200)+"Accept|text/html", "|")...)
	assertPlain(t, "many lists", response, body)
	response, body = get(t, url+"/hub/", "Accept", browser, "Sec-Fetch-Mode", "navigate")
	equal(t, "who navigates", fmt.Sprint(response.StatusCode, body), "503<h1>ours</h1>")
	response, body = get(t, url+"/hub/", "Accept", "TEXT/HTML ;q=0.1")
	equal(t, "in capitals", fmt.Sprint(response.StatusCode, body), "503<h1>ours</h1>")
}

func TestTheAdminsOwnPage(t *testing.T) {
	response, body := get(t, awaySite(t, "<h1>Café</h1>")+"/hub/", "Accept", browser)
	equal(t, "own page", fmt.Sprint(response.StatusCode, body, response.Header["Content-Type"], response.Header["Content-Security-Policy"]),
		"503<h1>Café</h1>[text/html; charset=utf-8] []")
	response, body = get(t, site(t, Config{ErrorTarget: dead(t), AwayPage: "no Base64!"}, map[string]route{"": {Target: dead(t)}}).URL, "Accept", browser)
	equal(t, "what is no Base64", fmt.Sprint(response.StatusCode, body), "503"+defaultAwayPage)
}

func TestABrowserSeesThePageWhileThereIsNoTable(t *testing.T) {
	reset(t)
	server := serve(t, middleware(t, Config{Mode: "route"}))
	response, body := get(t, server.URL+"/hub/", "Accept", browser)
	equal(t, "a browser", fmt.Sprint(response.StatusCode, body, response.Header["Retry-After"]), "503"+defaultAwayPage+"[1]")
	response, body = get(t, server.URL+"/hub/")
	equal(t, "another", fmt.Sprint(response.StatusCode, body), "503There is no routing table yet.\n")
}

func TestWithoutErrorPagesABrowserGetsAGatewaysError(t *testing.T) {
	response, body := get(t, site(t, Config{}, map[string]route{"": {Target: dead(t)}}).URL, "Accept", browser)
	equal(t, "off", fmt.Sprint(response.StatusCode, body), fmt.Sprint(http.StatusBadGateway, "Bad Gateway"))
}
