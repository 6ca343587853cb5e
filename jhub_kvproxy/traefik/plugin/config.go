// Package kvroute is a Traefik plugin that routes requests by a table in memory.
//
// JupyterHub has thousands of routes, which change all the time. In Traefik's own configuration each change makes
// Traefik build all routers again. So Traefik has one router for all requests, with the middleware "route" of this
// plugin, and jhub-kvproxy pushes the table and its changes to the middleware "table".
//
// Traefik interprets this code (with Yaegi), which has consequences for how it is written:
//
//   - Only the standard library of Go 1.22 can be used.
//   - Each statement on the way of a request costs, and each variable of a function costs at each call of it, used or
//     not. So what every request runs is in one function (see routing.go), and what few requests need is in others.
//   - A panic in a goroutine that net/http started ends Traefik, so code that runs in one is short.
package kvroute

import (
	"context"
	"fmt"
	"net/http"
)

// Config is the configuration of one middleware. All times are in milliseconds; 0 means no limit.
type Config struct {
	// Mode tells which middleware it is: "route" takes users' requests to their servers, "table" takes the table from
	// the pusher, "health" refuses requests until there is a table.
	Mode string

	DialTimeout     int
	ResponseTimeout int
	IdleTimeout     int

	// HeaderTimeout is the limit for the head of a user's request, Timeout that for all of it.
	HeaderTimeout int
	Timeout       int

	// IdentityFile is one PEM file with the certificate and key that servers are shown, and behind them the
	// authorities that servers' certificates are checked with. Empty: the system's authorities, and no certificate.
	IdentityFile string
	// IdentityHash changes with the content of that file.
	IdentityHash string

	// Insecure is whether servers' certificates are not checked.
	Insecure bool
	// RootCAs are more authorities that servers' certificates are checked with: PEM, or names of files.
	RootCAs []string
	// MaxIdleConnsPerHost is how many connections to one server are kept for later requests; 0 means 200.
	MaxIdleConnsPerHost int

	// ErrorTarget is the URL below which error pages are; empty: there are none.
	ErrorTarget string
	// TellsURL is whether the error target is told what the user wanted.
	TellsURL bool
	// AwayPage is the page that browsers get while neither a server nor an error page can be had: HTML in Base64, so
	// that Traefik takes nothing in it for a template. Empty: one of our own.
	AwayPage string

	// Activity is whether the time of each route's last use is kept.
	Activity bool
	// Log is whether Traefik's access log is told the route and the target of each request.
	Log bool
}

// CreateConfig returns the default configuration.
func CreateConfig() *Config {
	return &Config{Mode: "route"}
}

// New returns the middleware that config describes. Traefik calls it for each of its routers, at each change of its
// configuration.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	switch config.Mode {
	case "route":
		return newRouteProxy(config), nil
	case "table":
		return &tableHandler{}, nil
	case "health":
		return &healthHandler{next: next}, nil
	}
	return nil, fmt.Errorf("kvroute: mode %q is none of route, table, health", config.Mode)
}
